//! The RDS API of one Region, as far as a failover needs it.
//!
//! Modelled: `FailoverGlobalCluster`, `SwitchoverGlobalCluster`, `DescribeGlobalClusters`, `DescribeDBClusters`,
//! `FailoverDBCluster`, over the Query protocol; it fails with its Region's host. Both global operations are accepted from any
//! Region and carried out by the target, which must be in reach.
//! Not modelled: every other operation (`InvalidAction`), filters, pages, and names in the place of addresses.

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::control::Refusal;
use super::region::Region;
use crate::aws::wire::{
    QueryAnswer, QueryCall, QueryError, QueryProtocol, QueryService, Signing, element, serve_query,
    text_element,
};
use crate::fault::{Failure, Outage, Touched};

const ENGINE_VERSION: &str = "15.10";

pub(super) async fn serve(listener: TcpListener, region: &Arc<Region>) -> io::Result<()> {
    let config = &region.global.config;
    let mut signing = Signing::new("rds", region.name());
    signing.skew_limit = config.skew_limit;
    let api = Api {
        protocol: QueryProtocol {
            version: "2014-10-31",
            namespace: "http://rds.amazonaws.com/doc/2014-10-31/",
            signing,
            seed: config.seed,
        },
        region: region.clone(),
    };
    serve_query(listener, Arc::new(api)).await
}

struct Api {
    region: Arc<Region>,
    protocol: QueryProtocol,
}

impl QueryService for Api {
    async fn call(&self, call: QueryCall) -> QueryAnswer {
        let verdict = self.region.faults.judge(&call.action, || Touched {
            resources: vec![self.region.global.config.cluster(self.region.name())],
            items: Vec::new(),
        });
        match verdict.outage {
            None => {}
            Some(Outage::Refuse) => return failed(Failure::Unavailable),
            Some(Outage::Hangup) => return QueryAnswer::Hangup,
            // Ends when the caller gives the connection up.
            Some(Outage::Silence) => std::future::pending().await,
        }
        if !verdict.delay.is_zero() {
            sleep(verdict.delay).await;
        }
        if verdict.throttled.contains(&true) {
            return QueryAnswer::Error(QueryError::sender(400, "Throttling", "Rate exceeded"));
        }
        if let Some(failure) = verdict.fails_before {
            return failed(failure);
        }
        let result = self.perform(&call).await;
        match (verdict.answer_lost, verdict.fails_after, result) {
            (true, ..) => QueryAnswer::Hangup,
            (_, Some(failure), _) => failed(failure),
            (_, _, Ok(result)) => QueryAnswer::Ok(result),
            (_, _, Err(error)) => QueryAnswer::Error(error),
        }
    }

    fn protocol(&self) -> &QueryProtocol {
        &self.protocol
    }
}

fn failed(failure: Failure) -> QueryAnswer {
    QueryAnswer::Error(match failure {
        Failure::Internal => QueryError::sender(500, "InternalFailure", "An internal error occurred"),
        Failure::Unavailable => QueryError::sender(
            503,
            "ServiceUnavailable",
            "The service is temporarily unavailable",
        ),
    })
}

impl Api {
    async fn perform(&self, call: &QueryCall) -> Result<String, QueryError> {
        match call.action.as_str() {
            "FailoverGlobalCluster" => {
                let (data_loss, switchover) = (call.flag("AllowDataLoss")?, call.flag("Switchover")?);
                if data_loss == Some(true) && switchover == Some(true) {
                    return Err(QueryError::sender(
                        400,
                        "InvalidParameterCombination",
                        "AllowDataLoss and Switchover exclude each other",
                    ));
                }
                self.change_writer(call, data_loss == Some(true)).await
            }
            "SwitchoverGlobalCluster" => self.change_writer(call, false).await,
            "DescribeGlobalClusters" => {
                if call.get("GlobalClusterIdentifier").is_some() {
                    self.check_global_cluster(call)?;
                }
                Ok(element(
                    "GlobalClusters",
                    element("GlobalClusterMember", self.global_cluster()),
                ))
            }
            "DescribeDBClusters" => {
                if call.get("DBClusterIdentifier").is_some() {
                    self.check_cluster(call)?;
                }
                Ok(element("DBClusters", element("DBCluster", self.cluster())))
            }
            "FailoverDBCluster" => {
                call.required("DBClusterIdentifier")?;
                self.check_cluster(call)?;
                if self.region.head().is_none() {
                    let message = format!("{} is failing over already", self.identifier());
                    return Err(QueryError::sender(400, "InvalidDBClusterStateFault", message));
                }
                self.region.reboot();
                Ok(element("DBCluster", self.cluster()))
            }
            other => {
                let message = format!(
                    "Could not find operation {other} for version {}",
                    self.protocol.version
                );
                Err(QueryError::sender(400, "InvalidAction", message))
            }
        }
    }

    fn identifier(&self) -> String {
        self.region.global.config.cluster(self.region.name())
    }

    fn check_global_cluster(&self, call: &QueryCall) -> Result<(), QueryError> {
        let asked = call.required("GlobalClusterIdentifier")?;
        let own = &self.region.global.config.identifier;
        if asked == own || asked == self.global_arn() {
            return Ok(());
        }
        let message = format!("Global cluster {asked} not found");
        Err(QueryError::sender(404, "GlobalClusterNotFoundFault", message))
    }

    fn check_cluster(&self, call: &QueryCall) -> Result<(), QueryError> {
        let asked = call.required("DBClusterIdentifier")?;
        if asked == self.identifier() || asked == self.region.global.config.arn(self.region.name()) {
            return Ok(());
        }
        let message = format!("DBCluster {asked} not found.");
        Err(QueryError::sender(404, "DBClusterNotFoundFault", message))
    }

    async fn change_writer(&self, call: &QueryCall, allow_data_loss: bool) -> Result<String, QueryError> {
        self.check_global_cluster(call)?;
        let asked = call.required("TargetDbClusterIdentifier")?;
        let config = &self.region.global.config;
        let target = config.regions.iter().find(|member| {
            let region = &member.region;
            asked == config.arn(region) || asked == config.cluster(region)
        });
        let Some(target) = target else {
            let message = format!("DBCluster {asked} not found.");
            return Err(QueryError::sender(404, "DBClusterNotFoundFault", message));
        };
        match self.region.begin_operation(&target.region, allow_data_loss).await {
            Ok(_) => Ok(element("GlobalCluster", self.global_cluster())),
            Err(refusal) => {
                let code = match refusal {
                    Refusal::InProgress(_) => "InvalidGlobalClusterStateFault",
                    _ => "InvalidDBClusterStateFault",
                };
                Err(QueryError::sender(400, code, refusal.to_string()))
            }
        }
    }

    fn global_arn(&self) -> String {
        let config = &self.region.global.config;
        format!(
            "arn:aws:rds::{}:global-cluster:{}",
            config.account, config.identifier
        )
    }

    fn global_cluster(&self) -> String {
        let global = &self.region.global;
        let config = &global.config;
        let (writer, operation) = (global.writer(), global.operation());
        let status = match &operation {
            None => "available",
            Some(operation) if operation.allow_data_loss => "failing-over",
            Some(_) => "switching-over",
        };
        let secondaries = || config.regions.iter().filter(|member| member.region != writer);
        let members: String = config
            .regions
            .iter()
            .map(|member| {
                let is_writer = member.region == writer;
                let readers = secondaries().map(|reader| text_element("member", config.arn(&reader.region)));
                let readers: String = readers.filter(|_| is_writer).collect();
                let member = text_element("DBClusterArn", config.arn(&member.region))
                    + &element("Readers", readers)
                    + &text_element("IsWriter", is_writer)
                    + &text_element("GlobalWriteForwardingStatus", "disabled");
                element("GlobalClusterMember", member)
            })
            .collect();
        let failover = operation.map(|operation| {
            let state = text_element("Status", "failing-over")
                + &text_element("FromDbClusterArn", config.arn(&operation.from))
                + &text_element("ToDbClusterArn", config.arn(&operation.to))
                + &text_element("IsDataLossAllowed", operation.allow_data_loss);
            element("FailoverState", state)
        });
        text_element("GlobalClusterIdentifier", &config.identifier)
            + &text_element("GlobalClusterArn", self.global_arn())
            + &text_element("Status", status)
            + &text_element("Engine", "aurora-postgresql")
            + &text_element("EngineVersion", ENGINE_VERSION)
            + &element("GlobalClusterMembers", members)
            + &failover.unwrap_or_default()
    }

    fn cluster(&self) -> String {
        let region = &self.region;
        let config = &region.global.config;
        let up = region.head().is_some();
        let identifier = self.identifier();
        let mut instances = vec![(1, true)];
        instances.extend(config.reader.then_some((2, false)));
        let instances: String = instances
            .into_iter()
            .map(|(number, first)| {
                let instance = text_element("DBInstanceIdentifier", format!("{identifier}-{number}"))
                    + &text_element("IsClusterWriter", first);
                element("DBClusterMember", instance)
            })
            .collect();
        text_element("DBClusterIdentifier", &identifier)
            + &text_element("DBClusterArn", config.arn(region.name()))
            + &text_element("Status", if up { "available" } else { "failing-over" })
            + &text_element("Endpoint", region.member.endpoint.ip())
            + &text_element("ReaderEndpoint", region.member.reader_endpoint.ip())
            + &text_element("Port", region.member.endpoint.port())
            + &text_element("MultiAZ", config.reader)
            + &text_element("Engine", "aurora-postgresql")
            + &text_element("EngineVersion", ENGINE_VERSION)
            + &text_element("MasterUsername", &config.instance.superuser)
            + &element("DBClusterMembers", instances)
    }
}
