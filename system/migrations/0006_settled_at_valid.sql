-- Contract: reads the whole table, and keeps nobody from writing to it.
alter table operation validate constraint operation_settled_at;
