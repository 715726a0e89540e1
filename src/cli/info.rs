//! `whimbrel info`. Never decides what a caller may do.

use clap::Args;

use super::json::{JsonLine, ProtoJson};
use super::{Error, Output, ServerArgs};
use crate::api::v1::{self, Feature};
use crate::client::Client;

/// Show what the server is, who you are to it, and your limits and quotas.
#[derive(Args, Debug)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    server: ServerArgs,
}

impl InfoArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let request = v1::GetServerInfoRequest {};
        let response =
            self.server.call(|client: Client| async move { client.get_server_info(request).await });
        let response = response.await?;
        output.print(|| text(&response), || JsonLine("response", ProtoJson(&response)))
    }
}

fn text(info: &v1::GetServerInfoResponse) -> String {
    let mut lines = vec![format!("version {}, log {}", info.version, info.log_id)];
    let features: Vec<_> = info.features().map(feature).collect();
    if !features.is_empty() {
        lines.push(format!("it {}", features.join(", and ")));
    }
    if let Some(caller) = &info.caller {
        let user = match caller.user_id.as_str() {
            "" => String::new(),
            user => format!("{user}, "),
        };
        let end =
            caller.expire_time.as_ref().map_or_else(String::new, |at| format!(", until {at}"));
        lines.push(format!("you are {user}{}{end}", caller.role));
    }
    for quota in &info.quotas {
        let seconds = quota.time.as_ref().map_or(0, |time| time.seconds);
        let v1::QuotaInfo { name, max, left, .. } = quota;
        lines.push(format!("quota {name}: {max} in {seconds} s, {left} left now"));
    }
    lines.join("\n")
}

fn feature(feature: Feature) -> &'static str {
    match feature {
        Feature::Unspecified => "does something unknown",
        Feature::Authentication => "asks who calls",
        Feature::Reflection => "serves reflection",
    }
}
