-- Several statements in one message of the simple protocol: one implicit transaction unless it says otherwise.
create table t (id int4 primary key, n int4);
--@ batch
insert into t values (1, 1);
insert into t values (2, 2);
select id from t order by id;
--@ end
--@ batch
insert into t values (3, 3);
insert into t values (1, 1);
insert into t values (4, 4);
--@ end
select id from t order by id;
--@ batch
insert into t values (5, 5); commit; insert into t values (1, 5);
--@ end
select id from t order by id;
--@ batch
begin; insert into t values (6, 6);
--@ end
--@ batch
insert into t values (7, 7); rollback; insert into t values (8, 8);
--@ end
select id from t order by id;
--@ batch
select 1;; select 2
--@ end
--@ batch
;
--@ end
--@ batch
-- only a comment
--@ end
--@ batch
select 1; selec 2; insert into t values (9, 9);
--@ end
--@ batch
insert into t values (9, 9); select nosuch;
--@ end
select id from t order by id;
--@ batch
create table u (id int4 primary key); insert into u values (1); alter table u add column n int4 default 5; select * from u;
--@ end
--@ batch
create table v (id int4); insert into v values (1); insert into nosuch values (1);
--@ end
select * from v;
--@ batch
begin; insert into t values (20, 20); savepoint s; insert into t values (20, 20);
--@ end
--@ batch
rollback to s; insert into t values (21, 21); commit; select id from t where id >= 20 order by id;
--@ end
--@ batch
begin; select 1; commit; begin; select 2; rollback;
--@ end
--@ batch
set statement_timeout = 1000; show statement_timeout; reset statement_timeout;
--@ end
--@ batch
begin; select 1/0; select 2; commit;
--@ end
rollback;
--@ batch
insert into t values (30, 30); begin; insert into t values (31, 31); rollback;
--@ end
select id from t where id >= 30 order by id;
--@ batch
savepoint s; select 1;
--@ end
--@ batch
select 1; vacuum;
--@ end
