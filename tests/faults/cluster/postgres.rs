//! A PostgreSQL of the system's packages with two standbys, each on a machine and a disk of its own, with TLS. One of the
//! standbys has each commit before it is acknowledged. Never knows what is in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use super::network::Machines;
use crate::case::Missing;
use crate::machine::{Disk, run};
use crate::patience::{LOOK_INTERVAL, eventually};

/// The standbys by their names in the setting of the primary.
const NAMES: [&str; 3] = ["one", "two", "three"];
const DISK_BYTES: u64 = 1 << 30;

/// A PostgreSQL.
pub(crate) struct Instance {
    name: &'static str,
    /// Of the network.
    pub(crate) machine: usize,
    pub(crate) disk: Disk,
    address: String,
}

/// The three of them.
pub(crate) struct Postgres {
    bin: PathBuf,
    user: (u32, u32),
    pub(crate) instances: Vec<Instance>,
    pub(crate) primary: usize,
}

impl Instance {
    fn data(&self) -> PathBuf {
        self.disk.folder.join("data")
    }

    fn runs(&self) -> bool {
        self.data().join("postmaster.pid").exists()
    }

    /// The first process, and those that it has started.
    fn processes(&self) -> Vec<Pid> {
        let Ok(file) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return Vec::new();
        };
        let first = file.lines().next().expect("a number");
        let found = Command::new("pgrep").args(["-P", first]).output().expect("pgrep is there");
        let found = String::from_utf8(found.stdout).expect("numbers");
        let pids = [first].into_iter().chain(found.lines());
        pids.filter_map(|pid| Pid::from_raw(pid.parse().expect("a number"))).collect()
    }

    fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            // It may have ended.
            let _ = kill_process(pid, signal);
        }
    }

    /// All of its processes at once, as with its machine.
    pub(crate) fn kill(&self) {
        self.kill_after(|| ());
    }

    /// As [`Instance::kill`], once they stand still and `then` is done.
    pub(crate) fn kill_after(&self, then: impl FnOnce()) {
        // Before any of them can finish something because another one is gone.
        self.signal(Signal::STOP);
        let killed = self.processes();
        then();
        for pid in &killed {
            let _ = kill_process(*pid, Signal::KILL);
        }
        while killed.iter().any(|pid| is_there(*pid)) {
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.forget_processes();
    }

    /// It is gone already, and what its disk says of its processes is of no use.
    pub(crate) fn forget_processes(&self) {
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// Stands still, with all of its connections.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }
}

/// Whether a process has files open: not if it has ended and nobody has asked for its code.
fn is_there(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

impl Postgres {
    /// On the machines from `first` on. `certificate` and `key` are for their addresses.
    pub(crate) fn start(
        machines: &Machines,
        first: usize,
        (certificate, key): (&str, &str),
    ) -> Result<Self, Missing> {
        let missing =
            || Missing("PostgreSQL (Debian's postgresql), its user and setpriv".to_owned());
        let found = fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?.flatten();
        let bin = found.map(|it| it.path().join("bin")).max().ok_or_else(missing)?;
        let id = |flag| {
            let output = Command::new("id").args([flag, "postgres"]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        let user = id("-u").zip(id("-g")).ok_or_else(missing)?;
        let mut instances = Vec::new();
        for (at, name) in NAMES.into_iter().enumerate() {
            let disk = Disk::new(DISK_BYTES)?;
            // So that its user reaches the mount.
            let outside = fs::Permissions::from_mode(0o755);
            fs::set_permissions(disk.outside.path(), outside).expect("it is ours");
            chown(&disk.folder, Some(user.0), Some(user.1)).expect("it is ours");
            let machine = first + at;
            instances.push(Instance { name, machine, disk, address: machines.address(machine) });
        }
        let postgres = Self { bin, user, instances, primary: 0 };
        let data = postgres.instances[0].data();
        let data = data.to_str().expect("UTF-8");
        let initial = [
            "-D",
            data,
            "-U",
            "whimbrel",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-sync",
        ];
        postgres.run(machines, 0, "initdb", &initial);
        let hosts =
            format!("host all all {0} trust\nhost replication all {0} trust\n", machines.network());
        postgres.append(0, "pg_hba.conf", &hosts);
        // Before any standby is cloned: one that begins without it may lack what was acknowledged.
        let settings = format!(
            "listen_addresses = '*'\nunix_socket_directories = ''\nssl = on\nshared_buffers = 32MB\nmax_wal_size = 256MB\n\
             synchronous_standby_names = 'ANY 1 ({})'\nwal_receiver_status_interval = 1\nwal_receiver_timeout = 3s\n\
             wal_sender_timeout = 3s\n",
            NAMES.join(", ")
        );
        postgres.append(0, "postgresql.auto.conf", &settings);
        postgres.append(0, "server.crt", certificate);
        postgres.append(0, "server.key", key);
        postgres.serve(machines, 0);
        for standby in [1, 2] {
            postgres.clone(machines, standby);
        }
        Ok(postgres)
    }

    /// For all that may become the primary.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.instances.iter().map(|it| it.address.as_str()).collect();
        format!("postgres://whimbrel@{}/postgres", hosts.join(","))
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn serve(&self, machines: &Machines, at: usize) {
        let instance = &self.instances[at];
        let (data, log) = (instance.data(), instance.disk.folder.join("log"));
        let [data, log] = [&data, &log].map(|path| path.to_str().expect("UTF-8"));
        self.run(machines, at, "pg_ctl", &["-D", data, "-l", log, "-w", "-t", "60", "start"]);
    }

    /// Makes it an empty standby of the primary.
    pub(crate) fn clone(&self, machines: &Machines, at: usize) {
        let (data, primary) = (self.instances[at].data(), &self.instances[self.primary].address);
        let _ = fs::remove_dir_all(&data);
        let data = data.to_str().expect("UTF-8");
        let clone = ["-D", data, "-h", primary, "-U", "whimbrel", "-c", "fast"];
        self.run(machines, at, "pg_basebackup", &clone);
        self.append(at, "standby.signal", "");
        self.follow(machines, at);
        self.serve(machines, at);
    }

    /// The machine of the primary is lost: the standby that has most takes its place, and the other one follows it.
    pub(crate) fn promote_one(&mut self, machines: &Machines) {
        let received = |at: usize| {
            let ask = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn";
            self.sql(machines, at, ask).trim().parse::<u64>().unwrap_or(0)
        };
        let standbys: Vec<_> = (0..3).filter(|at| *at != self.primary).collect();
        let running = standbys.iter().copied().filter(|at| self.instances[*at].runs());
        let next = running.max_by_key(|at| received(*at)).expect("a standby runs");
        self.primary = next;
        let data = self.instances[next].data();
        let data = data.to_str().expect("UTF-8");
        self.run(machines, next, "pg_ctl", &["-D", data, "-w", "-t", "60", "promote"]);
        for other in standbys.into_iter().filter(|at| *at != next && self.instances[*at].runs()) {
            self.follow(machines, other);
        }
    }

    /// Those that do not run come back, empty, as standbys.
    pub(crate) fn replace_lost(&self, machines: &Machines) {
        for at in 0..3 {
            if !self.instances[at].runs() {
                self.clone(machines, at);
            }
        }
    }

    /// Waits until both standbys follow.
    pub(crate) async fn is_whole(&self, machines: &Machines) {
        let ask = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        let is_whole = || (self.sql(machines, self.primary, ask).trim() == "2").then_some(());
        eventually("both standbys", is_whole).await;
    }

    /// The answer to a question, by a client on the same machine.
    pub(crate) fn sql(&self, machines: &Machines, at: usize, statement: &str) -> String {
        let asked = ["-XqAt", "-h", "127.0.0.1", "-U", "whimbrel", "postgres", "-c", statement];
        let output = self.run(machines, at, "psql", &asked);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn follow(&self, machines: &Machines, at: usize) {
        let (name, primary) = (self.instances[at].name, &self.instances[self.primary].address);
        let from = format!(
            "primary_conninfo = 'host={primary} user=whimbrel application_name={name} connect_timeout=3'\n"
        );
        self.append(at, "postgresql.auto.conf", &from);
        if self.instances[at].runs() {
            let data = self.instances[at].data();
            self.run(machines, at, "pg_ctl", &["-D", data.to_str().expect("UTF-8"), "reload"]);
        }
    }

    /// Adds `text` to a file of its data.
    fn append(&self, at: usize, file: &str, text: &str) {
        let path = self.instances[at].data().join(file);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + text).expect("it is ours");
        chown(&path, Some(self.user.0), Some(self.user.1)).expect("it is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Runs one of its programs on its machine, as its user.
    fn run(&self, machines: &Machines, at: usize, program: &str, arguments: &[&str]) -> Output {
        let (user, group) =
            (format!("--reuid={}", self.user.0), format!("--regid={}", self.user.1));
        let mut command = machines.command(self.instances[at].machine, "setpriv");
        command.args([&user, &group, "--clear-groups", "--"]).arg(self.bin.join(program));
        let output = command.args(arguments).current_dir("/").output().expect("it is there");
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        output
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.instances.iter().for_each(Instance::kill);
    }
}

/// Loses all that was not flushed, and what runs there.
pub(crate) fn cut_power(disk: &Disk, tool: &Path, how: &str) {
    let tool = tool.to_str().expect("UTF-8");
    run(tool, &[disk.folder.as_os_str(), how.as_ref()]).expect("it is ext4");
}
