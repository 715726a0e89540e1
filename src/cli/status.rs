//! `whimbrel status`: whether servers serve. Never tries a second time, unless it is to wait for them.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::context::{ServerAddress, TargetServer};
use super::json::JsonLine;
use super::table::table;
use super::{Error, Output, ServerArgs, number};
use crate::api::v1;
use crate::client::{self, Client};

/// How long a server has to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How soon a server that does not serve is asked again.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);

/// Show whether a server serves, what it is, and how soon it answers.
///
/// The exit code is 0 only if all that were asked serve, so it is also a check for a container.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// Ask the servers of all contexts.
    #[arg(long, conflicts_with_all = ["addr", "context"])]
    all: bool,
    /// Wait at most so many seconds until all serve.
    #[arg(long, value_name = "SECONDS", value_parser = number::within(1..=3_600_u64))]
    wait: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a server does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerStatus {
    /// The name of its context.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    server: String,
    is_serving: bool,
    /// `None` if it did not answer, or did not tell this caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id: Option<String>,
    /// The time of a call that does no work.
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    /// Why it does not serve, or did not tell more.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl StatusArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let servers = match self.all {
            true => ServerAddress::all()?.into_iter().map(|(name, it)| (Some(name), it)).collect(),
            false => vec![(None, self.server.address.target()?)],
        };
        if servers.is_empty() {
            return Err(Error::Usage(
                "there is no context: `whimbrel context add` makes one".into(),
            ));
        }
        let begun = Instant::now();
        let wait = self.wait.map_or(Duration::ZERO, Duration::from_secs);
        let (all, down) = loop {
            let mut all = Vec::new();
            for (context, target) in &servers {
                all.push(self.status(context.clone(), target).await);
            }
            let down = all.iter().filter(|status| !status.is_serving).count();
            if down == 0 || begun.elapsed() >= wait {
                break (all, down);
            }
            tokio::time::sleep(WAIT_INTERVAL).await;
        };
        output.print_for_people(|| {
            let rows: Vec<_> = all.iter().map(ServerStatus::cells).collect();
            table(["CONTEXT", "SERVER", "SERVES", "VERSION", "LOG", "ANSWERS IN", "PROBLEM"], &rows)
        })?;
        for status in &all {
            output.print_for_machines(|| JsonLine("status", status))?;
        }
        match down {
            0 => Ok(()),
            1 if all.len() == 1 => Err(Error::NotServing("the server does not serve".to_owned())),
            _ => Err(Error::NotServing(format!("{down} of {} servers do not serve", all.len()))),
        }
    }

    async fn status(&self, context: Option<String>, target: &TargetServer) -> ServerStatus {
        let mut status = ServerStatus {
            context,
            server: target.address.to_string(),
            is_serving: false,
            version: None,
            log_id: None,
            milliseconds: None,
            problem: None,
        };
        let asked = tokio::time::timeout(ANSWER_TIME_MAX, self.ask(target, &mut status)).await;
        status.problem = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} s", ANSWER_TIME_MAX.as_secs())),
        };
        status
    }

    async fn ask(&self, target: &TargetServer, status: &mut ServerStatus) -> Result<(), Error> {
        let options = self.server.options(target)?;
        let client = Client::connect_with(&target.address.to_string(), &options).await?;
        let begun = Instant::now();
        status.is_serving = client.check_health().await?;
        status.milliseconds = Some((begun.elapsed().as_secs_f64() * 1e4).round() / 10.0);
        if !status.is_serving {
            return Err(Error::NotServing("it says that it does not serve".to_owned()));
        }
        let info = client.get_server_info(v1::GetServerInfoRequest {}).await;
        let info = info.map_err(|error: client::Error| Error::from(error))?;
        (status.version, status.log_id) = (Some(info.version), Some(info.log_id));
        Ok(())
    }
}

impl ServerStatus {
    fn cells(&self) -> [String; 7] {
        let or_blank = |cell: &Option<String>| cell.clone().unwrap_or_default();
        [
            or_blank(&self.context),
            self.server.clone(),
            if self.is_serving { "yes" } else { "no" }.to_owned(),
            or_blank(&self.version),
            or_blank(&self.log_id),
            self.milliseconds.map_or_else(String::new, |time| format!("{time} ms")),
            or_blank(&self.problem),
        ]
    }
}
