-- Expand: when an operation got its outcome. Processes that write version 1 of the schema do not fill it in.
set local lock_timeout = '2s';
alter table operation add column settled_at timestamptz;
grant update (settled_at) on operation to payments_service;
