-- Expand: what is to be filled in once nobody writes version 1 any more.
create index concurrently operation_unstamped on operation (tenant_id)
    where settled_at is null and state in ('succeeded', 'declined');
