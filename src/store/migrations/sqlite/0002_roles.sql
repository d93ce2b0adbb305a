-- Several processes: who holds a queue or the lead, who is alive, and what all must agree on.
create table leases (
  name text primary key not null,
  owner text not null,
  epoch bigint not null,
  lease_until bigint not null
);
create index leases_owner on leases (owner);

create table members (
  owner text primary key not null,
  role text not null,
  kinds text not null,
  seen_until bigint not null
);

create table facts (
  name text primary key not null,
  value text not null
);

-- Look-ups of the command line and the workers that would read a whole table.
drop index ledger_connection;
create index ledger_connection on ledger (connection, received_at, event_id);
create index ledger_outcome on ledger (outcome, received_at);

create index parked_due_at on parked (due_at, account);
create index parked_connection on parked (connection, first_parked_at);
create index parked_since on parked (first_parked_at);
create index parked_why on parked (cause, first_parked_at);
create index parked_object on parked (object_id);
create index parked_event on parked (event_id);

create index dead_letters_connection on dead_letters (connection, state, filed_at);
create index dead_letters_code on dead_letters (code, state, filed_at);
create index dead_letters_received on dead_letters (received_at);
create index dead_letters_reference on dead_letters (reference) where reference is not null;
create index dead_letters_id on dead_letters (object_id);

create index links_any_key on links (natural_key);
create index links_any_sapo on links (sapo_id);
create index links_any_channel on links (channel_id);
create index links_code on links (code) where code is not null;
create index links_any_state on links (state);
create index links_updated on links (updated_at);

create index intents_owner on intents (owner) where result_id is null;

create index jobs_open on jobs (kind, connection) where finished_at is null;
create index jobs_waiting on jobs (created_at) where finished_at is null;
create index jobs_newest on jobs (created_at, id);
create index jobs_last on jobs (kind, connection, state, created_at);

create index audit_newest on audit (at, id);
drop index audit_at;
