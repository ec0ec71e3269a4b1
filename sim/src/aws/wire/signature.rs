//! SigV4 as far as a server without the secret can check it: presence, completeness, scope, and the date.

use super::{Error, basic_iso8601, parse_basic_iso8601};
use hyper::HeaderMap;
use std::time::{Duration, SystemTime};

/// What a request's signature is held to.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The signing name in the credential scope: `dynamodb`, `sqs`, `events`.
    pub service: &'static str,
    /// The Region in the credential scope. `None` accepts any, for services whose Region the client may choose freely.
    pub region: Option<String>,
    /// How far the signature's date may lie from the server's clock, either way. AWS: 5 minutes.
    pub skew_limit: Duration,
    /// Whether an unsigned request is refused. AWS: yes. Off only for tools that cannot sign.
    pub required: bool,
}

impl Signing {
    /// AWS's own rules for this service in this Region.
    pub fn new(service: &'static str, region: impl Into<String>) -> Self {
        Self {
            service,
            region: Some(region.into()),
            skew_limit: Duration::from_secs(300),
            required: true,
        }
    }

    /// Checks one request at the server's time `now`.
    ///
    /// # Errors
    /// `MissingAuthenticationTokenException`, `IncompleteSignatureException` or `InvalidSignatureException`. The
    /// last, for a date out of bounds, is what the SDK answers by measuring the skew and signing again.
    pub fn check(&self, headers: &HeaderMap, now: SystemTime) -> Result<(), Error> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = match text("authorization") {
            Some(value) if value.starts_with("AWS4-HMAC-SHA256") => value,
            _ if !self.required => return Ok(()),
            _ => {
                let message = "Request is missing Authentication Token";
                return Err(Error::coral("MissingAuthenticationTokenException", message));
            }
        };
        let part = |name: &str| {
            let tail = authorization.split_once(name)?.1.strip_prefix('=')?;
            Some(tail.split([',', ' ']).next().unwrap_or_default()).filter(|value| !value.is_empty())
        };
        let date = text("x-amz-date");
        let credential = part("Credential");
        let mut missing = String::new();
        for (name, present) in [
            ("Credential", credential.is_some()),
            ("Signature", part("Signature").is_some()),
            ("SignedHeaders", part("SignedHeaders").is_some()),
        ] {
            if !present {
                missing += &format!("Authorization header requires '{name}' parameter. ");
            }
        }
        if date.is_none() {
            missing +=
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        }
        let (Some(credential), Some(date), "") = (credential, date, missing.as_str()) else {
            let message = format!(
                "{missing}Authorization={}",
                authorization.split(' ').next().unwrap_or_default()
            );
            return Err(Error::coral("IncompleteSignatureException", message));
        };
        self.check_scope(credential, date)?;
        self.check_date(date, now)
    }

    fn check_scope(&self, credential: &str, date: &str) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::coral("InvalidSignatureException", message));
        // An access key may hold a slash, the four parts after it may not.
        let mut scope = credential.rsplitn(5, '/');
        let (terminator, service, region, day) = (scope.next(), scope.next(), scope.next(), scope.next());
        let (Some("aws4_request"), Some(service), Some(region), Some(day), Some(_)) =
            (terminator, service, region, day, scope.next())
        else {
            let message = "Credential must have exactly 5 slash-delimited elements, e.g. \
                           keyid/date/region/service/term";
            return Err(Error::coral(
                "IncompleteSignatureException",
                format!("{message}, got '{credential}'"),
            ));
        };
        if service != self.service {
            return refuse(format!(
                "Credential should be scoped to correct service: '{}'. ",
                self.service
            ));
        }
        if self.region.as_deref().is_some_and(|own| own != region) {
            return refuse(format!(
                "Credential should be scoped to a valid Region, not '{region}'. "
            ));
        }
        if date.get(..8) != Some(day) {
            return refuse(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 date: {date}"
            ));
        }
        Ok(())
    }

    fn check_date(&self, date: &str, now: SystemTime) -> Result<(), Error> {
        let Some(signed) = parse_basic_iso8601(date) else {
            let message = format!(
                "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
            );
            return Err(Error::coral("IncompleteSignatureException", message));
        };
        let minutes = self.skew_limit.as_secs() / 60;
        let (earliest, latest) = (now - self.skew_limit, now + self.skew_limit);
        let here = basic_iso8601(now);
        let message = if signed < earliest {
            let bound = basic_iso8601(earliest);
            format!("Signature expired: {date} is now earlier than {bound} ({here} - {minutes} min.)")
        } else if signed > latest {
            let bound = basic_iso8601(latest);
            format!("Signature not yet current: {date} is still later than {bound} ({here} + {minutes} min.)")
        } else {
            return Ok(());
        };
        Err(Error::coral("InvalidSignatureException", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "20261121T120000Z";

    fn outcome(signing: &Signing, date: &str, authorization: Option<&str>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", date.parse().expect("header"));
        if let Some(value) = authorization {
            headers.insert("authorization", value.parse().expect("header"));
        }
        let now = parse_basic_iso8601(NOW).expect("date");
        signing
            .check(&headers, now)
            .map_err(|error| format!("{}: {}", error.name(), error.message()))
    }

    fn signed(day: &str, region: &str, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKID/{day}/{region}/{service}/aws4_request, SignedHeaders=host, Signature=ab"
        )
    }

    #[test]
    fn dates_are_held_to_the_limit_on_both_sides() {
        let signing = Signing::new("dynamodb", "us-east-1");
        let auth = signed("20261121", "us-east-1", "dynamodb");
        assert_eq!(outcome(&signing, "20261121T115500Z", Some(&auth)), Ok(()));
        assert_eq!(outcome(&signing, "20261121T120500Z", Some(&auth)), Ok(()));
        assert_eq!(
            outcome(&signing, "20261121T115459Z", Some(&auth)),
            Err(
                "InvalidSignatureException: Signature expired: 20261121T115459Z is now earlier than \
                 20261121T115500Z (20261121T120000Z - 5 min.)"
                    .to_owned()
            )
        );
        assert_eq!(
            outcome(&signing, "20261121T120501Z", Some(&auth)),
            Err(
                "InvalidSignatureException: Signature not yet current: 20261121T120501Z is still later than \
                 20261121T120500Z (20261121T120000Z + 5 min.)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn the_scope_must_name_this_service_region_and_day() {
        let signing = Signing::new("dynamodb", "us-east-1");
        for auth in [
            signed("20261121", "us-east-1", "sqs"),
            signed("20261121", "us-east-2", "dynamodb"),
            signed("20261120", "us-east-1", "dynamodb"),
        ] {
            let refused = outcome(&signing, NOW, Some(&auth)).expect_err(&auth);
            assert!(refused.starts_with("InvalidSignatureException"), "{refused}");
        }
    }

    #[test]
    fn an_unsigned_request_is_refused_unless_allowed() {
        let signing = Signing::new("dynamodb", "us-east-1");
        let refused = outcome(&signing, NOW, None).expect_err("unsigned");
        assert!(
            refused.starts_with("MissingAuthenticationTokenException"),
            "{refused}"
        );
        let partial =
            outcome(&signing, NOW, Some("AWS4-HMAC-SHA256 SignedHeaders=host")).expect_err("partial");
        assert!(partial.starts_with("IncompleteSignatureException"), "{partial}");
        assert_eq!(
            outcome(
                &Signing {
                    required: false,
                    ..signing
                },
                NOW,
                None
            ),
            Ok(())
        );
    }
}
