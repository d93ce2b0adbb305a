create table stores (
  alias text collate "C" primary key not null,
  access_token bytea not null,
  webhook_secrets bytea not null,
  base_url text collate "C",
  tenant_id text collate "C",
  updated_at bigint not null
);

create table connections (
  name text collate "C" primary key not null,
  store text collate "C" not null references stores (alias),
  channel text collate "C" not null,
  site text collate "C" not null,
  token bytea not null,
  webhook_header bytea,
  webhook_secrets bytea,
  base_url text collate "C",
  settings text collate "C" not null,
  state text collate "C" not null,
  state_reason text collate "C",
  activated_at bigint not null,
  updated_at bigint not null
);
create unique index connections_site on connections (channel, site) where state <> 'stopped';
create index connections_store on connections (store);

create table links (
  connection text collate "C" not null,
  kind text collate "C" not null,
  sapo_id text collate "C" not null,
  channel_id text collate "C" not null,
  sapo_parent text collate "C",
  natural_key text collate "C" not null,
  state text collate "C" not null,
  code text collate "C",
  reason text collate "C",
  pushed text collate "C",
  sapo_state text collate "C",
  channel_state text collate "C",
  total text collate "C",
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
  connection text collate "C" not null,
  source text collate "C" not null,
  kind text collate "C" not null,
  object_id text collate "C" not null,
  version bigint,
  hash text collate "C" not null,
  gone bigint not null default 0,
  updated_at bigint not null,
  primary key (connection, source, kind, object_id)
);

create table components (
  connection text collate "C" not null,
  component text collate "C" not null,
  product_id text collate "C" not null,
  primary key (connection, component, product_id)
);
create index components_product on components (connection, product_id);

create table intents (
  account text collate "C" not null,
  kind text collate "C" not null,
  natural_key text collate "C" not null,
  connection text collate "C" not null,
  source_id text collate "C" not null,
  fingerprint text collate "C",
  owner text collate "C" not null,
  epoch bigint not null,
  lease_until bigint not null,
  sent_at bigint not null,
  unknown_at bigint,
  lookups bigint not null default 0,
  result_id text collate "C",
  created_at bigint not null,
  primary key (account, kind, natural_key)
);
create index intents_open on intents (account, kind) where result_id is null;
create index intents_source on intents (connection, kind, source_id);

create table ledger (
  event_id text collate "C" primary key not null,
  run bigint not null,
  connection text collate "C" not null,
  store text collate "C" not null,
  source text collate "C" not null,
  topic text collate "C" not null,
  kind text collate "C" not null,
  object_id text collate "C" not null,
  reference text collate "C",
  version bigint,
  received_at bigint not null,
  settled_at bigint not null,
  outcome text collate "C" not null,
  code text collate "C" not null,
  reason text collate "C" not null,
  attempts bigint not null,
  job text collate "C",
  body_hash text collate "C" not null,
  story text collate "C" not null
);
create index ledger_reference on ledger (reference) where reference is not null;
create index ledger_object on ledger (object_id, kind);
create index ledger_connection on ledger (connection, received_at);
create index ledger_received on ledger (received_at);
create index ledger_code on ledger (code, received_at);
create index ledger_job on ledger (job, outcome) where job is not null;

create table parked (
  connection text collate "C" not null,
  source text collate "C" not null,
  kind text collate "C" not null,
  object_id text collate "C" not null,
  generation bigint not null,
  event_id text collate "C" not null,
  attributes text collate "C" not null,
  body bytea not null,
  version bigint,
  account text collate "C" not null,
  class bigint not null,
  cause text collate "C" not null,
  cause_key text collate "C",
  reason text collate "C" not null,
  attempts bigint not null,
  first_parked_at bigint not null,
  due_at bigint not null,
  primary key (connection, source, kind, object_id)
);
create index parked_due on parked (account, due_at);
create index parked_cause on parked (connection, cause_key) where cause_key is not null;

create table dead_letters (
  event_id text collate "C" not null,
  run bigint not null,
  connection text collate "C" not null,
  source text collate "C" not null,
  topic text collate "C" not null,
  kind text collate "C" not null,
  object_id text collate "C" not null,
  reference text collate "C",
  code text collate "C" not null,
  reason text collate "C" not null,
  attempts bigint not null,
  last_answer text collate "C",
  attributes text collate "C" not null,
  body bytea not null,
  received_at bigint not null,
  filed_at bigint not null,
  state text collate "C" not null,
  primary key (event_id, run)
);
create index dead_letters_state on dead_letters (state, filed_at);
create index dead_letters_object on dead_letters (connection, source, kind, object_id);

create table poison_marks (
  event_id text collate "C" primary key not null,
  marks bigint not null,
  marked_at bigint not null
);

create table accounts (
  account text collate "C" primary key not null,
  not_before bigint not null,
  failures bigint not null,
  reason text collate "C" not null,
  updated_at bigint not null
);

create table jobs (
  id text collate "C" primary key not null,
  kind text collate "C" not null,
  connection text collate "C" not null,
  arguments text collate "C" not null,
  state text collate "C" not null,
  position text collate "C" not null,
  found text collate "C" not null,
  reason text collate "C",
  owner text collate "C",
  lease_until bigint not null,
  stop_wanted bigint not null default 0,
  created_at bigint not null,
  finished_at bigint
);
create index jobs_state on jobs (state, created_at);

create table job_rows (
  job text collate "C" not null,
  row_no bigint not null,
  kind text collate "C" not null,
  object_id text collate "C" not null,
  action text collate "C" not null,
  code text collate "C" not null,
  reason text collate "C" not null,
  primary key (job, row_no)
);

create table audit (
  id text collate "C" primary key not null,
  at bigint not null,
  actor text collate "C" not null,
  action text collate "C" not null,
  subject text collate "C" not null,
  detail text collate "C" not null
);
create index audit_at on audit (at);
