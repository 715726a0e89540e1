//! `whimbrel bench`.

use clap::Args;

use super::{Error, Output, Target};

/// x
#[derive(Args, Debug)]
pub(super) struct Bench {
    #[command(flatten)]
    target: Target,
}

impl Bench {
    pub(super) async fn run(self, _output: &Output) -> Result<(), Error> {
        Err(Error::Usage(self.target.addr))
    }
}
