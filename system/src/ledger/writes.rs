//! Statements that go to the database together, as the parts of one: a round trip for all of them.
//!
//! They run on one snapshot and in no order that could be relied on. So no part may touch a row that another one writes, or
//! need room that another one makes; rows that parts refer to among each other are there when references are checked, at the
//! end of the whole.

use std::fmt::Display;

use sqlx::{Encode, PgConnection, Postgres, QueryBuilder, Type, postgres::PgHasArrayType};

/// Statements under way to the database.
#[derive(Default)]
pub(super) struct Writes {
    query: QueryBuilder<Postgres>,
    parts: u32,
}

impl Writes {
    /// Begins another part.
    pub(super) fn part(&mut self, sql: &str) -> &mut Self {
        let before = if self.parts == 0 { "with" } else { ")," };
        let number = self.parts;
        self.parts += 1;
        self.sql(format_args!("{before} part_{number} as ({sql} "))
    }

    /// Goes on with the part.
    pub(super) fn sql(&mut self, sql: impl Display) -> &mut Self {
        self.query.push(sql);
        self
    }

    /// A value.
    pub(super) fn value<'t, T: 't + Encode<'t, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        self.query.push_bind(value);
        self
    }

    /// Some rows, column by column.
    pub(super) fn rows<'a, R>(&mut self, rows: &'a [R]) -> Columns<'_, 'a, R> {
        self.sql("unnest");
        Columns {
            writes: self,
            rows,
            before: '(',
        }
    }

    /// Sends what there is.
    pub(super) async fn send(mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if self.parts > 0 {
            self.query.push(") select 1");
            self.query.build().execute(connection).await?;
        }
        Ok(())
    }
}

/// Rows that are being told.
pub(super) struct Columns<'w, 'a, R> {
    writes: &'w mut Writes,
    rows: &'a [R],
    before: char,
}

impl<'w, 'a, R> Columns<'w, 'a, R> {
    /// The next column.
    pub(super) fn column<'t, T>(mut self, value: impl Fn(&'a R) -> T) -> Self
    where
        T: 't + Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        let values: Vec<T> = self.rows.iter().map(value).collect();
        self.writes.sql(self.before).value(values);
        self.before = ',';
        self
    }

    /// The end of the rows, and how the part goes on.
    pub(super) fn end(self, sql: &str) -> &'w mut Writes {
        self.writes.sql(format_args!(") {sql}"))
    }
}
