//! A time of day that jumps.

use whimbrel::api::v1::PublishRequest;
use whimbrel::client::{Client, Error};
use whimbrel::runtime::Clock;

use crate::case::{Case, Outcome, block_on};
use crate::model::Model;
use crate::server::{Setup, check_data};
use crate::shim::Shim;

pub(crate) const JUMPS: Case = Case {
    name: "clock jumps",
    how: "the time of day jumps under load by an hour, 25 hours and 40 years, forward and backward, and to \
          before 1970, by a library that is loaded before the C library; half of the servers start with it",
    holds: "the order stays, request ids are remembered, and times are right again once the clock is; before \
            1970, changes are refused with CLOCK_OUT_OF_RANGE, and reads are answered",
    short: 8,
    long: 16,
    run: |times| {
        let shim = Shim::new()?;
        Ok(block_on(jump(&shim, times)))
    },
};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// To before 1970.
const TOO_FAR: i64 = -100 * YEAR;
const SHIFTS: [i64; 8] =
    [HOUR, -HOUR, 25 * HOUR, -25 * HOUR, 40 * YEAR, -40 * YEAR, TOO_FAR, HOUR / 2];
const CHANGES_MAX: u64 = 300;

async fn jump(shim: &Shim, times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    // Erasing must not be hastened by a clock, either: request ids and texts outlive each jump.
    let setup = shim.in_servers(Setup::new(folder.path()));
    let mut server = setup.start();
    let mut model = Model::new(server.address).await;
    for number in 0..times {
        let shift = SHIFTS[number % SHIFTS.len()];
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        shim.shift_clock(shift);
        if shift == TOO_FAR {
            let errors;
            (model, errors) = writing.lost().await;
            assert!(errors.iter().all(is_out_of_range), "{errors:?}");
            model.compare(server.address).await.expect("reads are answered at any time");
        } else {
            writing.acknowledged(CHANGES_MAX + 100).await;
            let errors;
            (model, errors) = writing.end().await;
            assert!(errors.is_empty(), "{errors:?}");
            model.check(server.address).await;
            // What the log was to remember for a day of elapsed time.
            model.repeat(server.address).await;
        }
        if number % 2 == 1 {
            server.stop().await;
            server = setup.start();
            model.compare(server.address).await.expect("it serves whatever the time");
        }
        shim.shift_clock(0);
        model.check(server.address).await;
        model.repeat(server.address).await;
        times_are_right(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    Outcome::of(times, &model)
}

/// A post that is published now has the time of now.
async fn times_are_right(address: std::net::SocketAddr) {
    let client = Client::connect(&address.to_string()).await.expect("it listens");
    let now = || Clock::system().since_epoch().expect("this machine's clock is right").as_secs();
    let before = now();
    let post = PublishRequest { user_id: "timed".into(), text: "now".into(), ..Default::default() };
    let published = client.publish(post).await.expect("it is answered").post.expect("it has one");
    let time = published.create_time.expect("it has one").seconds.cast_unsigned();
    assert!((before..=now()).contains(&time), "{time} is not between {before} and now");
}

fn is_out_of_range(error: &Error) -> bool {
    matches!(error, Error::Call(error) if error.reason == "CLOCK_OUT_OF_RANGE")
}
