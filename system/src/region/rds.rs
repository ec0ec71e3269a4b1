//! What the controller asks of RDS: who the Global Database's writer is, and that it be another.

use std::collections::BTreeMap;

use aws_sdk_rds::{Client, error::DisplayErrorContext};

/// RDS does not do, or does not answer, what it is asked. Asking again is safe: a change that is under way is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RdsError {
    /// It says no, or nothing.
    #[error("RDS: {0}")]
    Refused(String),
    /// A Region has no cluster in the configuration.
    #[error("no cluster is configured in {0}: name it as REGION=ARN")]
    NoCluster(String),
}

/// An Aurora Global Database, as the RDS API of this Region shows it.
#[derive(Clone, Debug)]
pub struct GlobalDatabase {
    client: Client,
    identifier: String,
    /// The ARN of each Region's cluster.
    clusters: BTreeMap<String, String>,
}

impl GlobalDatabase {
    /// The Global Database of this identifier, with these clusters by Region, named by their ARNs.
    pub fn new(client: Client, identifier: impl Into<String>, clusters: BTreeMap<String, String>) -> Self {
        Self {
            client,
            identifier: identifier.into(),
            clusters,
        }
    }

    /// The Regions that have a cluster.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(String::as_str)
    }

    /// The Region whose cluster is the writer; none while that is being changed.
    ///
    /// # Errors
    /// When RDS does not answer.
    pub async fn writer(&self) -> Result<Option<&str>, RdsError> {
        let described = self
            .client
            .describe_global_clusters()
            .global_cluster_identifier(&self.identifier)
            .send()
            .await
            .map_err(|error| RdsError::Refused(DisplayErrorContext(error).to_string()))?;
        let settled = described
            .global_clusters()
            .iter()
            .filter(|cluster| cluster.failover_state().is_none());
        let mut members = settled.flat_map(|cluster| cluster.global_cluster_members());
        let writer = members.find(|member| member.is_writer() == Some(true));
        let arn = writer.and_then(|member| member.db_cluster_arn());
        let region = self
            .clusters
            .iter()
            .find(|(_, known)| Some(known.as_str()) == arn);
        Ok(region.map(|(region, _)| region.as_str()))
    }

    /// Asks that a Region's cluster become the writer: without loss by switchover, which needs the present writer, or at
    /// once by failover. Accepted, it takes a minute or two.
    ///
    /// # Errors
    /// When RDS refuses, for one because a change is under way.
    pub async fn promote(&self, region: &str, allow_data_loss: bool) -> Result<(), RdsError> {
        let target = self
            .clusters
            .get(region)
            .ok_or_else(|| RdsError::NoCluster(region.to_owned()))?;
        if allow_data_loss {
            let failover = self
                .client
                .failover_global_cluster()
                .global_cluster_identifier(&self.identifier)
                .target_db_cluster_identifier(target)
                .allow_data_loss(true);
            let sent = failover.send().await;
            sent.map(|_| ())
                .map_err(|error| RdsError::Refused(DisplayErrorContext(error).to_string()))
        } else {
            let switchover = self
                .client
                .switchover_global_cluster()
                .global_cluster_identifier(&self.identifier)
                .target_db_cluster_identifier(target);
            let sent = switchover.send().await;
            sent.map(|_| ())
                .map_err(|error| RdsError::Refused(DisplayErrorContext(error).to_string()))
        }
    }
}
