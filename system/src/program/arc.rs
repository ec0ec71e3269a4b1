//! The routing controls of ARC, as options of subcommands.

use std::collections::BTreeMap;

use clap::Args;

use crate::region::{ArcError, RoutingControls};

use super::{arc_endpoint, in_region};

#[derive(Args)]
pub(super) struct Controls {
    /// The endpoints of the ARC cluster that holds the routing controls, as REGION=URL; without them ARC is left alone
    #[arg(
        long,
        env = "PAYMENTS_ARC_ENDPOINTS",
        value_delimiter = ',',
        value_parser = in_region,
        requires = "arc_controls"
    )]
    arc_endpoints: Vec<(String, String)>,
    /// The ARN of each Region's routing control, as REGION=ARN
    #[arg(
        long,
        env = "PAYMENTS_ARC_CONTROLS",
        value_delimiter = ',',
        value_parser = in_region,
        requires = "arc_endpoints"
    )]
    arc_controls: Vec<(String, String)>,
}

impl Controls {
    /// The controls, if any are named.
    pub(super) async fn named(&self) -> Result<Option<RoutingControls>, ArcError> {
        if self.arc_endpoints.is_empty() {
            return Ok(None);
        }
        let mut endpoints = Vec::new();
        for (region, url) in &self.arc_endpoints {
            endpoints.push(arc_endpoint(region, url).await);
        }
        let controls: BTreeMap<_, _> = self.arc_controls.iter().cloned().collect();
        RoutingControls::new(endpoints, controls).map(Some)
    }
}
