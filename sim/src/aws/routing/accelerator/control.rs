//! Following routing controls: asking any endpoint of the cluster, and keeping the last answer while none gives one.

use std::time::Duration;

use serde_json::json;

use super::Accelerator;
use crate::aws::wire::Peer;

/// How long one endpoint may take.
const ANSWER_MAX: Duration = Duration::from_secs(3);

impl Accelerator {
    /// Asks for every group's control at each poll, for as long as the accelerator serves.
    pub(super) async fn follow_controls(self) {
        loop {
            for (group, options) in self.0.options.groups.iter().enumerate() {
                let Some(arn) = &options.routing_control else {
                    continue;
                };
                if let Some(on) = self.control_is_on(arn).await {
                    let mut state = self.lock();
                    let shifted = state.health.controlled(group, on);
                    state.counts.shifts += u64::from(shifted);
                }
            }
            tokio::time::sleep(self.0.options.cluster_poll).await;
        }
    }

    /// What the first endpoint that answers says.
    async fn control_is_on(&self, arn: &str) -> Option<bool> {
        for endpoint in &self.0.options.cluster {
            let peer = Peer {
                address: endpoint.address,
                region: endpoint.region.clone(),
                service: "route53-recovery-cluster",
                target: "ToggleCustomerAPI",
            };
            let ask = json!({ "RoutingControlArn": arn });
            let call = peer.call("GetRoutingControlState", &ask);
            if let Ok(Ok((200, body))) = tokio::time::timeout(ANSWER_MAX, call).await
                && let Some(state) = body["RoutingControlState"].as_str()
            {
                return Some(state == "On");
            }
        }
        None
    }
}
