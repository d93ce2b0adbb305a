create table stores (
  alias text primary key not null,
  access_token blob not null,
  webhook_secrets blob not null,
  base_url text,
  tenant_id text,
  updated_at bigint not null
);

create table connections (
  name text primary key not null,
  store text not null references stores (alias),
  channel text not null,
  site text not null,
  token blob not null,
  webhook_header blob,
  webhook_secrets blob,
  base_url text,
  settings text not null,
  state text not null,
  state_reason text,
  activated_at bigint not null,
  updated_at bigint not null
);
create unique index connections_site on connections (channel, site) where state <> 'stopped';
create index connections_store on connections (store);

create table links (
  connection text not null,
  kind text not null,
  sapo_id text not null,
  channel_id text not null,
  sapo_parent text,
  natural_key text not null,
  state text not null,
  code text,
  reason text,
  pushed text,
  sapo_state text,
  channel_state text,
  total text,
  paid bigint not null default 0,
  created_at bigint not null,
  updated_at bigint not null,
  primary key (connection, kind, sapo_id)
);
create unique index links_channel on links (connection, kind, channel_id);
create index links_key on links (connection, kind, natural_key);
create index links_parent on links (connection, kind, sapo_parent) where sapo_parent is not null;
create index links_state on links (connection, state);

create table objects (
  connection text not null,
  source text not null,
  kind text not null,
  object_id text not null,
  version bigint,
  hash text not null,
  gone bigint not null default 0,
  updated_at bigint not null,
  primary key (connection, source, kind, object_id)
);

create table components (
  connection text not null,
  component text not null,
  product_id text not null,
  primary key (connection, component, product_id)
);
create index components_product on components (connection, product_id);

create table intents (
  account text not null,
  kind text not null,
  natural_key text not null,
  connection text not null,
  source_id text not null,
  fingerprint text,
  owner text not null,
  epoch bigint not null,
  lease_until bigint not null,
  sent_at bigint not null,
  unknown_at bigint,
  lookups bigint not null default 0,
  result_id text,
  created_at bigint not null,
  primary key (account, kind, natural_key)
);
create index intents_open on intents (account, kind) where result_id is null;
create index intents_source on intents (connection, kind, source_id);

create table ledger (
  event_id text primary key not null,
  run bigint not null,
  connection text not null,
  store text not null,
  source text not null,
  topic text not null,
  kind text not null,
  object_id text not null,
  reference text,
  version bigint,
  received_at bigint not null,
  settled_at bigint not null,
  outcome text not null,
  code text not null,
  reason text not null,
  attempts bigint not null,
  job text,
  body_hash text not null,
  story text not null
);
create index ledger_reference on ledger (reference) where reference is not null;
create index ledger_object on ledger (object_id, kind);
create index ledger_connection on ledger (connection, received_at);
create index ledger_received on ledger (received_at);
create index ledger_code on ledger (code, received_at);
create index ledger_job on ledger (job, outcome) where job is not null;

create table parked (
  connection text not null,
  source text not null,
  kind text not null,
  object_id text not null,
  generation bigint not null,
  event_id text not null,
  attributes text not null,
  body blob not null,
  version bigint,
  account text not null,
  class bigint not null,
  cause text not null,
  cause_key text,
  reason text not null,
  attempts bigint not null,
  first_parked_at bigint not null,
  due_at bigint not null,
  primary key (connection, source, kind, object_id)
);
create index parked_due on parked (account, due_at);
create index parked_cause on parked (connection, cause_key) where cause_key is not null;

create table dead_letters (
  event_id text not null,
  run bigint not null,
  connection text not null,
  source text not null,
  topic text not null,
  kind text not null,
  object_id text not null,
  reference text,
  code text not null,
  reason text not null,
  attempts bigint not null,
  last_answer text,
  attributes text not null,
  body blob not null,
  received_at bigint not null,
  filed_at bigint not null,
  state text not null,
  primary key (event_id, run)
);
create index dead_letters_state on dead_letters (state, filed_at);
create index dead_letters_object on dead_letters (connection, source, kind, object_id);

create table poison_marks (
  event_id text primary key not null,
  marks bigint not null,
  marked_at bigint not null
);

create table accounts (
  account text primary key not null,
  not_before bigint not null,
  failures bigint not null,
  reason text not null,
  updated_at bigint not null
);

create table jobs (
  id text primary key not null,
  kind text not null,
  connection text not null,
  arguments text not null,
  state text not null,
  position text not null,
  found text not null,
  reason text,
  owner text,
  lease_until bigint not null,
  stop_wanted bigint not null default 0,
  created_at bigint not null,
  finished_at bigint
);
create index jobs_state on jobs (state, created_at);

create table job_rows (
  job text not null,
  row_no bigint not null,
  kind text not null,
  object_id text not null,
  action text not null,
  code text not null,
  reason text not null,
  primary key (job, row_no)
);

create table audit (
  id text primary key not null,
  at bigint not null,
  actor text not null,
  action text not null,
  subject text not null,
  detail text not null
);
create index audit_at on audit (at);
