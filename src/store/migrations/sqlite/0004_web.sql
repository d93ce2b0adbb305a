-- Sapo Web: private apps, what OAuth granted, both catalogues as they are known, orders as their owner sees them.
alter table connections add column api_key text;
alter table connections add column confirmed text;

create table grants (
  account text primary key not null,
  token blob not null,
  scopes text not null,
  base_url text,
  granted_at bigint not null
);

create table authorizations (
  state text primary key not null,
  account text not null,
  redirect_uri text not null,
  base_url text,
  created_at bigint not null,
  used_at bigint,
  outcome text
);

alter table links add column channel_parent text;

create table variants (
  connection text not null,
  side text not null,
  variant_id text not null,
  product_id text not null,
  sku text not null,
  name text not null,
  facts text not null,
  state text not null,
  code text,
  reason text,
  cut bigint not null default 0,
  version bigint,
  seen text not null default '',
  updated_at bigint not null,
  primary key (connection, side, variant_id)
);
create index variants_sku on variants (connection, sku, side, variant_id);
create index variants_product on variants (connection, side, product_id, variant_id);
create index variants_state on variants (connection, side, state, sku, variant_id);

create table channel_orders (
  connection text not null,
  order_id text not null,
  name text not null,
  state text not null,
  code text not null,
  reason text not null,
  updated_at bigint not null,
  primary key (connection, order_id)
);
create index channel_orders_name on channel_orders (name, connection);
create index channel_orders_order on channel_orders (order_id, connection);
create index channel_orders_time on channel_orders (connection, updated_at, order_id);
create index channel_orders_state on channel_orders (connection, state, updated_at, order_id);

create table reservations (
  store text not null,
  order_id text not null,
  variant_id text not null,
  product_id text not null,
  location_id text not null,
  quantity text not null,
  primary key (store, order_id, variant_id)
);
create index reservations_variant on reservations (store, variant_id);
