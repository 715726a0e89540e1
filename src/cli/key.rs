//! `whimbrel key`: makes, lists and revokes the API keys of a server, or of all nodes of a log. Those that run take a
//! change within two seconds. Never shows a secret again.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::json::JsonLine;
use super::key_place::KeyPlaceArgs;
use super::table::table;
use super::{Error, Output};
use crate::auth::{ApiKey, ApiKeys, KeyId, NewKey, Role};
use crate::model::UserId;
use crate::runtime::Clock;

/// Make, list and revoke API keys: secrets with which backends call this server.
#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make a key, and print its secret, which is shown this once.
    Create(CreateArgs),
    /// List the keys, without their secrets.
    List(ListArgs),
    /// End a key for ever. The calls and streams with it are refused within a second.
    Revoke(OneKeyArgs),
    /// Remove a key from the list. It ends as by `revoke`.
    Delete(OneKeyArgs),
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// What the key is for, for people.
    #[arg(long)]
    name: String,
    /// What the key may do: service (act and read for all users), service-reader (only read), admin;
    /// or as one user: user, user-reader, moderator.
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The user of a role for one user.
    #[arg(long, value_name = "USER", value_parser = UserId::parse)]
    user: Option<UserId>,
    /// When the key ends by itself, in days from now [default: never].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    expires: Option<u32>,
    #[command(flatten)]
    place: KeyPlaceArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: KeyPlaceArgs,
}

#[derive(Args, Debug)]
pub(super) struct OneKeyArgs {
    /// The key's id, as `key list` shows it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: KeyPlaceArgs,
}

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

impl KeyVerb {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Create(args) => args.run(output),
            Self::List(args) => {
                let keys = ApiKeys::list(&*args.place.table()?)?;
                if keys.is_empty() {
                    output.note("there is no key: `whimbrel key create` makes one");
                } else {
                    let rows: Vec<_> = keys.iter().map(cells).collect();
                    output.print_for_people(|| table(HEADINGS, &rows))?;
                }
                keys.iter()
                    .try_for_each(|key| output.print_for_machines(|| JsonLine("key", members(key))))
            }
            Self::Revoke(args) => {
                let id = KeyId::from(args.id.as_str());
                print(output, &ApiKeys::revoke(&*args.place.table()?, &id, now()?.as_secs())?)
            }
            Self::Delete(args) => {
                let id = KeyId::from(args.id.as_str());
                print(output, &ApiKeys::delete(&*args.place.table()?, &id)?)
            }
        }
    }
}

impl CreateArgs {
    fn run(self, output: &Output) -> Result<(), Error> {
        let now = now()?.as_secs();
        let expires = self.expires.map(|days| now + u64::from(days) * SECONDS_PER_DAY);
        let new = NewKey { name: self.name, role: self.role, user: self.user, expires };
        let (key, secret) = ApiKeys::create(&*self.place.table()?, new, now)?;
        output.note("This is shown once. Send it as the header `authorization: Bearer …`.");
        output.print(
            || secret.to_string(),
            || {
                let mut line = members(&key);
                line["secret"] = json!(*secret);
                JsonLine("key", line)
            },
        )
    }
}

/// Now, as the time since 1970.
pub(super) fn now() -> Result<Duration, Error> {
    let wrong = "this machine's clock shows a time before 1970: set it right";
    Clock::system().since_epoch().ok_or_else(|| Error::NotAllDone(wrong.to_owned()))
}

fn print(output: &Output, key: &ApiKey) -> Result<(), Error> {
    output.print(|| table(HEADINGS, &[cells(key)]), || JsonLine("key", members(key)))
}

const HEADINGS: [&str; 6] = ["ID", "ROLE", "USER", "MADE", "END", "NAME"];

fn cells(key: &ApiKey) -> [String; 6] {
    let end = match (key.revoked, key.expires) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => at.to_string(),
        (None, None) => String::new(),
    };
    let user = key.user.as_ref().map_or_else(String::new, ToString::to_string);
    // The name is any text, so it comes last and without control characters.
    let name = format!("{:?}", key.name);
    [key.id.to_string(), key.role.name().to_owned(), user, key.created.to_string(), end, name]
}

/// The members of a key for machines: times in RFC 3339.
fn members(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "role": key.role.name(),
        "user": key.user,
        "createTime": key.created.to_string(),
        "expireTime": key.expires.map(|at| at.to_string()),
        "revokeTime": key.revoked.map(|at| at.to_string()),
    })
}
