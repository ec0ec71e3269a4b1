-- Parameters over the extended protocol: which types the server infers, text input of each, wrong input.
create table t (id int4 primary key, i2 int2, i8 int8, n numeric(10, 2), f float8, b bool, s text, v varchar(5), u uuid, at timestamptz, d date, raw bytea, j jsonb);
--@ bind 1 | 2 | 3 | 4.5 | 1.5 | true | text | vc | 00000000-0000-0000-0000-000000000001 | 2024-01-01 00:00:00+00 | 2024-02-29 | \x01ff | {"a": [1]}
insert into t values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning *;
--@ bind 2 | null | null | null | null | null | null | null | null | null | null | null | null
insert into t values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning *;
--@ bind 1
select id from t where id = $1;
--@ bind 2
select id from t where i2 = $1;
--@ bind 3
select id from t where i8 = $1;
--@ bind 4.50
select id from t where n = $1;
--@ bind t
select id from t where b = $1;
--@ bind text
select id from t where s = $1;
--@ bind vc
select id from t where v = $1;
--@ bind 2024-01-01 01:00:00+01
select id from t where at = $1;
--@ bind 2024-01-01
select id from t where at >= $1 and d > $1::date;
--@ bind {"a": [1]}
select id from t where j = $1;
--@ bind null
select id from t where s = $1;
--@ bind null
select id from t where s is not distinct from $1;
--@ bind x
select id from t where id = $1;
--@ bind
select id from t where id = $1;
--@ bind 1 | 2
select id from t where id = $1;
--@ bind 1 | 2
select id from t where id in ($1, $2) order by id;
--@ bind 1
select id from t where id + 1 = $1;
--@ bind 1
select id from t where id > $1 - 1 order by id;
--@ bind 1.5
select id from t where id > $1;
--@ bind 5
select $1;
--@ bind 5
select $1::int4;
--@ bind 5
select $1::int4 + 1, $1;
--@ bind 5 | x
select $1::int8 as a, $2::text as b;
--@ bind 5
select $1 + 1;
--@ bind 5 | 6
select $1 + $2;
--@ bind a | b
select $1 || $2;
--@ bind a
select $1 || 'x';
--@ bind abc
select upper($1), length($1);
--@ bind abc
select length($1);
--@ bind 5
select abs($1);
--@ bind a
select coalesce($1, 'z');
--@ bind null
select coalesce($1, 5);
--@ bind true
select case when $1 then 'y' else 'n' end;
--@ bind 3
select id from t order by id limit $1;
--@ bind 1 | 1
select id from t order by id limit $1 offset $2;
--@ bind 1 | up
update t set s = $2 where id = $1 returning s;
--@ bind 1 | 10
update t set n = n + $2 where id = $1 returning n;
--@ bind 1 | 10
update t set i8 = i8 + $2, i2 = $1 where id = $1 returning i8;
--@ bind 1 | toolong
update t set v = $2 where id = $1;
--@ bind 1 | 123456789.999
update t set n = $2 where id = $1;
--@ bind 1 | 40000
update t set i2 = $2 where id = $1;
--@ bind 9 | nine
insert into t (id, s) values ($1, $2) on conflict (id) do update set s = excluded.s returning id, s;
--@ bind 9 | neuf
insert into t (id, s) values ($1, $2) on conflict (id) do update set s = $2 || '!' returning id, s;
--@ bind 9
delete from t where id = $1 returning id;
--@ bind 1
select exists (select 1 from t where id = $1);
--@ bind 1
select (select s from t where id = $1);
--@ bind a%
select id from t where s like $1;
--@ bind 1 | 5
select id from t where id between $1 and $2 order by id;
--@ bind 1 day
select '2024-01-01'::timestamptz + $1::interval;
--@ bind 1 day
select '2024-01-01 00:00+00'::timestamptz + $1;
--@ bind 2024-01-02
select $1::date - '2024-01-01'::date;
--@ bind a
select j -> $1, j ->> $1 from t where id = 1;
--@ bind 7
select jsonb_build_object('k', $1::int4);
--@ bind tenant | t1
select set_config('app.' || $1, $2, false);
--@ bind app.tenant
select current_setting($1);
--@ bind 1 | x
select * from (values ($1::int4, $2)) as v(a, b);
--@ bind 3
select count(*) from generate_series(1, $1) g;
--@ bind 1
with x as (select $1::int4 as n) select n from x;
--@ bind 1 | 2
select $1::int4 union all select $2 order by 1;
--@ bind 1 | 2 | 3
select $3::int4, $1::int4;
--@ bind 5
select pg_typeof($1);
--@ bind 5
select $1 = 5, $1 > 3;
--@ bind 1e2
select $1::numeric, $1::float8;
--@ bind 99999999999
select $1::int4;
--@ bind 1
begin;
--@ bind 1
select id from t where id = $1 for update;
commit;
--@ bind 0
select 1 / $1::int4;
--@ bind 1
select nosuch from t where id = $1;
--@ bind 1
create table p (id int4 default $1);
--@ bind 1
set statement_timeout = $1;
