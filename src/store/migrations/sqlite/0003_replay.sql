-- The job that replayed a letter: what a replay of many has done is counted from the letters themselves.
alter table dead_letters add column replayed_by text;
create index dead_letters_replayed_by on dead_letters (replayed_by) where replayed_by is not null;
-- Pages of open letters are walked in this order.
create index dead_letters_open on dead_letters (filed_at, event_id, run) where state = 'open';
