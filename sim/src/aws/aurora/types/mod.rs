//! Types and values: what a column can hold and how values of one type compare.
//!
//! Modelled: the scalar types a payment ledger uses and one-dimensional arrays of them. Text compares bytewise (the C
//! collation). Not modelled: domains, enums, ranges, composite columns, other collations.

mod array;
mod binary;
mod cast;
mod datetime;
mod interval;
mod json;
mod numeric;
mod text;

use std::cmp::Ordering;
use std::sync::Arc;

pub(super) use array::Array;
pub(super) use binary::{decode as decode_binary, encode as encode_binary};
pub(super) use cast::{CastContext, apply_typmod, cast, castable};
pub(super) use datetime::{
    Civil, USECS_PER_DAY, civil_from_days, days_from_civil, from_unix_micros, instant,
};
pub(super) use interval::Interval;
pub(super) use json::Json;
pub(super) use numeric::Numeric;
pub(super) use text::{decode as decode_text, encode as encode_text, quote_ident, to_text};

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident, $array:ident, $oid:literal, $array_oid:literal, $sql:literal, $len:literal;)*) => {
        /// A SQL type, scalar or array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub(crate) enum Type { $($name, $array,)* }

        impl Type {
            /// Every scalar type.
            pub(crate) const SCALARS: &'static [Type] = &[$(Type::$name,)*];

            /// PostgreSQL's own oid of the type.
            pub(crate) fn oid(self) -> u32 {
                match self { $(Type::$name => $oid, Type::$array => $array_oid,)* }
            }

            /// The type with this oid.
            pub(crate) fn from_oid(oid: u32) -> Option<Type> {
                match oid { $($oid => Some(Type::$name), $array_oid => Some(Type::$array),)* _ => None }
            }

            /// The element type of an array.
            pub(crate) fn elem(self) -> Option<Type> {
                match self { $(Type::$array => Some(Type::$name),)* _ => None }
            }

            /// The array type over a scalar.
            pub(crate) fn array(self) -> Option<Type> {
                match self { $(Type::$name => Some(Type::$array),)* _ => None }
            }

            /// The name as `format_type` shows it.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Type::$name => $sql, Type::$array => concat!($sql, "[]"),)* }
            }

            /// `typlen` of the catalog.
            pub(crate) fn len(self) -> i16 {
                match self { $(Type::$name => $len,)* _ => -1 }
            }
        }
    };
}

types! {
    Unknown, UnknownArray, 705, 0x7fff_0001, "unknown", -2;
    Bool, BoolArray, 16, 1000, "boolean", 1;
    Int2, Int2Array, 21, 1005, "smallint", 2;
    Int4, Int4Array, 23, 1007, "integer", 4;
    Int8, Int8Array, 20, 1016, "bigint", 8;
    Float4, Float4Array, 700, 1021, "real", 4;
    Float8, Float8Array, 701, 1022, "double precision", 8;
    Numeric, NumericArray, 1700, 1231, "numeric", -1;
    Text, TextArray, 25, 1009, "text", -1;
    Varchar, VarcharArray, 1043, 1015, "character varying", -1;
    Bpchar, BpcharArray, 1042, 1014, "character", -1;
    Name, NameArray, 19, 1003, "name", 64;
    Char, CharArray, 18, 1002, "\"char\"", 1;
    Uuid, UuidArray, 2950, 2951, "uuid", 16;
    Timestamptz, TimestamptzArray, 1184, 1185, "timestamp with time zone", 8;
    Timestamp, TimestampArray, 1114, 1115, "timestamp without time zone", 8;
    Date, DateArray, 1082, 1182, "date", 4;
    Time, TimeArray, 1083, 1183, "time without time zone", 8;
    Interval, IntervalArray, 1186, 1187, "interval", 16;
    Bytea, ByteaArray, 17, 1001, "bytea", -1;
    Json, JsonArray, 114, 199, "json", -1;
    Jsonb, JsonbArray, 3802, 3807, "jsonb", -1;
    Oid, OidArray, 26, 1028, "oid", 4;
    Regclass, RegclassArray, 2205, 2210, "regclass", 4;
    Regtype, RegtypeArray, 2206, 2211, "regtype", 4;
    Regnamespace, RegnamespaceArray, 4089, 4090, "regnamespace", 4;
    Regrole, RegroleArray, 4096, 4097, "regrole", 4;
    Record, RecordArray, 2249, 2287, "record", -1;
    Void, VoidArray, 2278, 0x7fff_0002, "void", 4;
}

impl Type {
    /// A number of any width.
    pub(super) fn is_number(self) -> bool {
        self.number_rank().is_some()
    }

    /// Place in the chain of implicit numeric promotions.
    pub(super) fn number_rank(self) -> Option<u8> {
        Some(match self {
            Type::Int2 => 0,
            Type::Int4 => 1,
            Type::Int8 => 2,
            Type::Numeric => 3,
            Type::Float4 => 4,
            Type::Float8 => 5,
            _ => return None,
        })
    }

    /// int2, int4 or int8.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Type::Int2 | Type::Int4 | Type::Int8)
    }

    /// A type whose values are strings.
    pub(super) fn is_string(self) -> bool {
        matches!(
            self,
            Type::Text | Type::Varchar | Type::Bpchar | Type::Name | Type::Char | Type::Unknown
        )
    }

    /// A type that holds an oid, shown as a number or as a name.
    pub(super) fn is_oid(self) -> bool {
        self == Type::Oid || self.is_reg()
    }

    /// A type that holds an oid and is shown as a name.
    pub(super) fn is_reg(self) -> bool {
        matches!(
            self,
            Type::Regclass | Type::Regtype | Type::Regnamespace | Type::Regrole
        )
    }

    /// Name as `format_type(oid, typmod)` shows it.
    pub(super) fn name_with(self, typmod: i32) -> String {
        if typmod < 0 {
            return self.name().to_string();
        }
        let base = self.elem().unwrap_or(self);
        let suffix = if self.elem().is_some() { "[]" } else { "" };
        match base {
            Type::Varchar | Type::Bpchar => format!("{}({}){suffix}", base.name(), typmod - 4),
            Type::Numeric => {
                let packed = typmod - 4;
                format!("numeric({},{}){suffix}", packed >> 16, packed & 0xffff)
            }
            Type::Timestamptz => format!("timestamp({typmod}) with time zone{suffix}"),
            Type::Timestamp => format!("timestamp({typmod}) without time zone{suffix}"),
            _ => self.name().to_string(),
        }
    }
}

/// One SQL value. Strings of every string type share one representation.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    Text(Arc<str>),
    Uuid([u8; 16]),
    /// Microseconds since 2000-01-01 UTC.
    Timestamptz(i64),
    /// Microseconds since 2000-01-01.
    Timestamp(i64),
    /// Days since 2000-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    Interval(Interval),
    Bytea(Arc<[u8]>),
    Json(Arc<str>),
    Jsonb(Arc<Json>),
    Oid(u32),
    Array(Arc<Array>),
    Record(Arc<[Value]>),
}

impl Value {
    /// A text value.
    pub(super) fn text(s: impl AsRef<str>) -> Value {
        Value::Text(Arc::from(s.as_ref()))
    }

    /// SQL NULL.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// True only for SQL true.
    pub(super) fn is_true(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    /// The text of a string value.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Value::Text(s) | Value::Json(s) => s,
            _ => "",
        }
    }

    /// The value of any integer type.
    pub(super) fn as_i64(&self) -> i64 {
        match self {
            Value::Int2(v) => i64::from(*v),
            Value::Int4(v) => i64::from(*v),
            Value::Int8(v) => *v,
            Value::Oid(v) => i64::from(*v),
            Value::Bool(b) => i64::from(*b),
            _ => 0,
        }
    }

    /// The value of any number as a double.
    pub(super) fn as_f64(&self) -> f64 {
        match self {
            Value::Float4(v) => f64::from(*v),
            Value::Float8(v) => *v,
            Value::Numeric(n) => n.to_f64(),
            _ => self.as_i64() as f64,
        }
    }

    /// Rough size in memory, for the log's LSNs.
    pub(super) fn size(&self) -> usize {
        match self {
            Value::Text(s) | Value::Json(s) => s.len() + 4,
            Value::Bytea(b) => b.len() + 4,
            Value::Jsonb(j) => j.to_string().len() + 4,
            Value::Array(a) => a.items.iter().map(Value::size).sum::<usize>() + 20,
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Uuid(_) | Value::Interval(_) | Value::Numeric(_) => 16,
            _ => 8,
        }
    }
}

/// Order of two values of one type, NULL after everything else: the order of a b-tree index.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Int8(a), Value::Int8(b)) => a.cmp(b),
        (Value::Int4(a), Value::Int4(b)) => a.cmp(b),
        (Value::Int2(a), Value::Int2(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Numeric(a), Value::Numeric(b)) => a.cmp(b),
        (Value::Timestamptz(a) | Value::Timestamp(a), Value::Timestamptz(b) | Value::Timestamp(b)) => {
            a.cmp(b)
        }
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Interval(a), Value::Interval(b)) => a.cmp(b),
        (Value::Bytea(a), Value::Bytea(b)) => a.cmp(b),
        (Value::Jsonb(a), Value::Jsonb(b)) => a.cmp(b),
        (Value::Oid(a), Value::Oid(b)) => a.cmp(b),
        (Value::Float8(a), Value::Float8(b)) => compare_floats(*a, *b),
        (Value::Float4(a), Value::Float4(b)) => compare_floats(f64::from(*a), f64::from(*b)),
        (Value::Array(a), Value::Array(b)) => compare_all(&a.items, &b.items),
        (Value::Record(a), Value::Record(b)) => compare_all(a, b),
        _ => compare_mixed(a, b),
    }
}

/// NaN equals NaN and is greater than every other number.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Numbers of different types: the binder casts them before, but a key looked up by a wider literal may come here.
fn compare_mixed(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Numeric(n), other) => match Numeric::try_from_value(other) {
            Some(o) => n.cmp(&o),
            None => compare_floats(a.as_f64(), b.as_f64()),
        },
        (other, Value::Numeric(n)) => match Numeric::try_from_value(other) {
            Some(o) => o.cmp(n),
            None => compare_floats(a.as_f64(), b.as_f64()),
        },
        (Value::Float4(_) | Value::Float8(_), _) | (_, Value::Float4(_) | Value::Float8(_)) => {
            compare_floats(a.as_f64(), b.as_f64())
        }
        _ => a.as_i64().cmp(&b.as_i64()),
    }
}

/// Lexicographic order of two lists of values.
pub(super) fn compare_all(a: &[Value], b: &[Value]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = compare(x, y);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A list of values with the order of [`compare_all`]: an index key, a group key, a hash-join key.
#[derive(Clone, Debug)]
pub(super) struct Key(pub Box<[Value]>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_all(&self.0, &other.0)
    }
}
