//! Digests.

use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::Builtin;
use crate::aws::aurora::types::{Type, Value};

const B: Type = Type::Bytea;

fn bytes(v: &Value) -> &[u8] {
    match v {
        Value::Bytea(b) => b,
        other => other.as_str().as_bytes(),
    }
}

fn md5(v: &Value) -> Value {
    let digest = Md5::digest(bytes(v));
    Value::text(digest.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

fn digest<D: Digest>(v: &Value) -> Value {
    Value::Bytea(D::digest(bytes(v)).to_vec().into())
}

pub(super) const TABLE: &[Builtin] = &[
    Builtin::new("md5", &[Type::Text], Type::Text, |_, a| Ok(md5(&a[0]))),
    Builtin::new("md5", &[B], Type::Text, |_, a| Ok(md5(&a[0]))),
    Builtin::new("sha224", &[B], B, |_, a| Ok(digest::<Sha224>(&a[0]))),
    Builtin::new("sha256", &[B], B, |_, a| Ok(digest::<Sha256>(&a[0]))),
    Builtin::new("sha384", &[B], B, |_, a| Ok(digest::<Sha384>(&a[0]))),
    Builtin::new("sha512", &[B], B, |_, a| Ok(digest::<Sha512>(&a[0]))),
];
