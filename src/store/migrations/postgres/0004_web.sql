-- Sapo Web: private apps, what OAuth granted, both catalogues as they are known, orders as their owner sees them.
alter table connections add column api_key text collate "C";
alter table connections add column confirmed text collate "C";

create table grants (
  account text collate "C" primary key not null,
  token bytea not null,
  scopes text collate "C" not null,
  base_url text collate "C",
  granted_at bigint not null
);

create table authorizations (
  state text collate "C" primary key not null,
  account text collate "C" not null,
  redirect_uri text collate "C" not null,
  base_url text collate "C",
  created_at bigint not null,
  used_at bigint,
  outcome text collate "C"
);

alter table links add column channel_parent text collate "C";

create table variants (
  connection text collate "C" not null,
  side text collate "C" not null,
  variant_id text collate "C" not null,
  product_id text collate "C" not null,
  sku text collate "C" not null,
  name text collate "C" not null,
  facts text collate "C" not null,
  state text collate "C" not null,
  code text collate "C",
  reason text collate "C",
  cut bigint not null default 0,
  version bigint,
  seen text collate "C" not null default '',
  updated_at bigint not null,
  primary key (connection, side, variant_id)
);
create index variants_sku on variants (connection, sku, side, variant_id);
create index variants_product on variants (connection, side, product_id, variant_id);
create index variants_state on variants (connection, side, state, sku, variant_id);

create table channel_orders (
  connection text collate "C" not null,
  order_id text collate "C" not null,
  name text collate "C" not null,
  state text collate "C" not null,
  code text collate "C" not null,
  reason text collate "C" not null,
  updated_at bigint not null,
  primary key (connection, order_id)
);
create index channel_orders_name on channel_orders (name, connection);
create index channel_orders_order on channel_orders (order_id, connection);
create index channel_orders_time on channel_orders (connection, updated_at, order_id);
create index channel_orders_state on channel_orders (connection, state, updated_at, order_id);

create table reservations (
  store text collate "C" not null,
  order_id text collate "C" not null,
  variant_id text collate "C" not null,
  product_id text collate "C" not null,
  location_id text collate "C" not null,
  quantity text collate "C" not null,
  primary key (store, order_id, variant_id)
);
create index reservations_variant on reservations (store, variant_id);
