//! Machines in networks of their own, which a bridge connects to each other and to the test. What one sends to another one
//! can be made to vanish, one way or both. Never tells either of them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::case::Missing;
use crate::machine::run;

/// Nobody has it.
const NOBODY: &str = "02:00:00:00:00:99";

/// The networks. They are removed when dropped.
pub(crate) struct Machines {
    number: u32,
    count: usize,
}

impl Machines {
    /// So many machines, counted from 0.
    pub(crate) fn new(count: usize) -> Result<Self, Missing> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let number = (std::process::id() + NUMBERS.fetch_add(1, Ordering::Relaxed)) % 200;
        let machines = Self { number, count };
        let bridge = machines.bridge();
        let mut steps = vec![
            format!("link add {bridge} type bridge"),
            format!("address add 10.214.{number}.1/24 dev {bridge}"),
            format!("link set {bridge} up"),
        ];
        for machine in 0..count {
            let (name, link) = (machines.name(machine), machines.link(machine));
            let address = machines.address(machine);
            steps.extend([
                format!("netns add {name}"),
                format!("link add {link} type veth peer name eth0 netns {name}"),
                format!("link set {link} master {bridge} up"),
                format!("-n {name} address add {address}/24 dev eth0"),
                format!("-n {name} link set eth0 up"),
                format!("-n {name} link set lo up"),
            ]);
        }
        for step in steps {
            let done = run("ip", &step.split(' ').collect::<Vec<_>>());
            let missing =
                |why| Missing(format!("root, network namespaces, veth and bridges ({why})"));
            done.map_err(missing)?;
        }
        Ok(machines)
    }

    pub(crate) fn address(&self, machine: usize) -> String {
        format!("10.214.{}.{}", self.number, 11 + machine)
    }

    /// All addresses, as PostgreSQL writes networks.
    pub(crate) fn network(&self) -> String {
        format!("10.214.{}.0/24", self.number)
    }

    /// The words that run a program on a machine. Not `ip netns exec`, which gives it copies of all mounts, so that a disk
    /// could not be unmounted any more.
    pub(crate) fn on(&self, machine: usize) -> Vec<String> {
        let network = format!("--net=/run/netns/{}", self.name(machine));
        ["nsenter", &network, "--"].map(str::to_owned).into()
    }

    /// A program that will run on a machine.
    pub(crate) fn command(&self, machine: usize, program: &str) -> Command {
        let words = self.on(machine);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// What `from` sends to `to` vanishes.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        let (name, to) = (self.name(from), self.address(to));
        let words = [
            "-n",
            &name,
            "neigh",
            "replace",
            &to,
            "lladdr",
            NOBODY,
            "nud",
            "permanent",
            "dev",
            "eth0",
        ];
        run("ip", &words).expect("the network is ours");
    }

    /// Cuts each of `some` from each of `others`, both ways.
    pub(crate) fn part(&self, some: &[usize], others: &[usize]) {
        for (&one, &other) in
            some.iter().flat_map(|one| others.iter().map(move |other| (one, other)))
        {
            self.cut(one, other);
            self.cut(other, one);
        }
    }

    /// Everything arrives again.
    pub(crate) fn heal(&self) {
        for from in 0..self.count {
            for to in (0..self.count).filter(|to| *to != from) {
                let (name, to) = (self.name(from), self.address(to));
                // It may not be cut.
                let _ = run("ip", &["-n", &name, "neigh", "del", &to, "dev", "eth0"]);
            }
        }
    }

    fn name(&self, machine: usize) -> String {
        format!("whimbrel{}m{machine}", self.number)
    }

    fn link(&self, machine: usize) -> String {
        format!("wf{}m{machine}", self.number)
    }

    fn bridge(&self) -> String {
        format!("wf{}b", self.number)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for machine in 0..self.count {
            let _ = run("ip", &["link", "del", &self.link(machine)]);
            let _ = run("ip", &["netns", "del", &self.name(machine)]);
        }
        let _ = run("ip", &["link", "del", &self.bridge()]);
    }
}
