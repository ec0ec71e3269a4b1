//! Ends what is in limbo, as an operator does who has asked the providers by other ways than their API.

use serde::Deserialize;
use serde_json::json;

use crate::externals::Provider;

use super::{clients::Client, trade::Asked};

/// What the operator is shown of an operation in limbo.
#[derive(Deserialize)]
struct InLimbo {
    payment_id: String,
    kind: String,
    key: String,
}

/// Decides everything that is in limbo now by the providers' own books. What cannot be asked or told at the moment is left for
/// the next time.
pub(super) async fn decide(operator: &Client, psp: &Provider, kyc: &Provider) {
    let Some(listed) = operator.get("/v1/limbo").await else {
        return;
    };
    let Ok(listed) = serde_json::from_str::<Vec<InLimbo>>(&listed) else {
        return;
    };
    for operation in listed {
        let provider = if operation.kind == "verify" { kyc } else { psp };
        let decision = match provider.reference(&operation.key) {
            Some(reference) => json!({"outcome": "succeeded", "reference": reference}),
            None => json!({"outcome": "declined", "reason": "not in the provider's books"}),
        };
        let asked = Asked::alone(
            format!("decision-{}", operation.key),
            format!("/v1/limbo/{}/decision", operation.payment_id),
            decision,
        );
        operator.once(&asked).await;
    }
}
