//! What the machine gives to a test: a C compiler, file systems, networks and limits of memory of its own.
//! What is missing is said, and never worked around.

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::case::Missing;

/// Runs a program of the machine to its end. What it prints is the error if it fails.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let problem = || format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(problem)
}

/// Compiles a C source of this suite into `folder`.
pub(crate) fn compile(folder: &Path, source: &str, flags: &[&str]) -> Result<PathBuf, Missing> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let made = folder.join(source.trim_end_matches(".c"));
    let mut arguments = vec![OsStr::new("-O1"), OsStr::new("-Wall"), OsStr::new("-o")];
    let source = sources.join(source);
    arguments.extend([made.as_os_str(), source.as_os_str()]);
    arguments.extend(flags.iter().map(OsStr::new));
    if Command::new("cc").arg("--version").output().is_err() {
        return Err(Missing("a C compiler (cc)".to_owned()));
    }
    run("cc", &arguments).expect("a source of this suite compiles");
    Ok(made)
}

/// A file system of its own, in a file. It is unmounted when dropped.
pub(crate) struct Disk {
    image: PathBuf,
    pub(crate) folder: PathBuf,
    /// For what does not lie on the disk.
    pub(crate) outside: TempDir,
}

impl Disk {
    /// An ext4 file system with so many bytes.
    pub(crate) fn new(bytes: u64) -> Result<Self, Missing> {
        let outside = tempfile::tempdir().expect("a folder");
        let image = outside.path().join("disk.img");
        let folder = outside.path().join("disk");
        fs::create_dir(&folder).expect("a folder");
        fs::File::create(&image).and_then(|image| image.set_len(bytes)).expect("a file");
        let disk = Self { image, folder, outside };
        let made = run("mkfs.ext4", &["-q".as_ref(), disk.image.as_os_str()]);
        made.and_then(|()| disk.mount())
            .map_err(|why| Missing(format!("root, mkfs.ext4 and loop mounts ({why})")))?;
        Ok(disk)
    }

    /// Unmounts it, and mounts it again, which replays its journal.
    pub(crate) fn remount(&self) {
        run("umount", &[&self.folder]).expect("nobody uses it");
        self.mount().expect("it could be mounted before");
    }

    fn mount(&self) -> Result<(), String> {
        let [image, folder] = [&self.image, &self.folder].map(|path| path.as_os_str());
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, folder])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may never have been mounted. Lazily: a server that failed may still use it.
        let _ = run("umount", &["--lazy".as_ref(), self.folder.as_os_str()]);
    }
}

/// A group of processes with a limit of memory. It is removed when dropped.
pub(crate) struct MemoryLimit {
    group: PathBuf,
    is_second_version: bool,
}

impl MemoryLimit {
    /// Without swap space, where the kernel counts that.
    pub(crate) fn new(name: &str, bytes: u64) -> Result<Self, Missing> {
        let second = Path::new("/sys/fs/cgroup/cgroup.controllers");
        let is_second_version = fs::read_to_string(second).is_ok_and(|it| it.contains("memory"));
        let parent = if is_second_version { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" };
        let group = Path::new(parent).join(format!("{name}-{}", std::process::id()));
        let missing = |error| Missing(format!("root and a memory cgroup ({error})"));
        fs::create_dir(&group).map_err(missing)?;
        let made = Self { group, is_second_version };
        let limit = ["memory.limit_in_bytes", "memory.max"][usize::from(is_second_version)];
        fs::write(made.group.join(limit), bytes.to_string()).map_err(missing)?;
        let swap = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
        let most = if is_second_version { 0 } else { bytes };
        // Not every kernel counts it.
        let _ = fs::write(made.group.join(swap[usize::from(is_second_version)]), most.to_string());
        Ok(made)
    }

    /// What a shell runs to join the group.
    pub(crate) fn joining(&self) -> String {
        format!("echo $$ >{}/cgroup.procs", self.group.display())
    }

    /// How many processes were killed because of it.
    pub(crate) fn kills(&self) -> u64 {
        let file = ["memory.oom_control", "memory.events"][usize::from(self.is_second_version)];
        let text = fs::read_to_string(self.group.join(file)).expect("it is our group");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|kills| kills.trim().parse().ok()).expect("the kernel counts them")
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A process that is not yet gone keeps it.
        let _ = fs::remove_dir(&self.group);
    }
}

/// A network of its own, with a link to that of the machine. It is removed when dropped.
pub(crate) struct Network {
    name: String,
    /// The end of the link that is the machine's, and the other.
    link: String,
    other: String,
    /// The addresses of the two ends.
    pub(crate) here: String,
    there: String,
}

impl Network {
    pub(crate) fn new() -> Result<Self, Missing> {
        let number = std::process::id() % 200;
        let name = format!("faults{number}");
        let (link, other) = (format!("flt{number}a"), format!("flt{number}b"));
        let (here, there) = (format!("10.213.{number}.1"), format!("10.213.{number}.2"));
        let network = Self { name, link, other, here, there };
        let Self { name, link, other, here, there } = &network;
        let steps = [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name {other}"),
            format!("link set {other} netns {name}"),
            format!("address add {here}/30 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} address add {there}/30 dev {other}"),
            format!("-n {name} link set {other} up"),
        ];
        for step in steps {
            let done = run("ip", &step.split(' ').collect::<Vec<_>>());
            done.map_err(|why| Missing(format!("root, network namespaces and veth ({why})")))?;
        }
        Ok(network)
    }

    /// A program that will run in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// How many connections from it the machine has open. One that was closed is none, also if the other end
    /// does not know that.
    pub(crate) fn connections(&self) -> usize {
        const OPEN: &str = "01";
        let there: Ipv4Addr = self.there.parse().expect("an address");
        // As the kernel writes it: the number of its bytes in memory.
        let there = format!("{:08X}:", u32::from_ne_bytes(there.octets()));
        let table = fs::read_to_string("/proc/net/tcp").expect("the kernel has connections");
        let is_open = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(2).is_some_and(|other| other.starts_with(&there)) && fields[3] == OPEN
        };
        table.lines().filter(is_open).count()
    }

    /// Packets vanish, in both directions, and nobody is notified: they go to an address of the link that
    /// nobody has.
    pub(crate) fn drop_packets(&self) {
        self.each_end("replace", &["lladdr", "02:00:00:00:00:99", "nud", "permanent"]);
    }

    /// Packets arrive again.
    pub(crate) fn pass_packets(&self) {
        self.each_end("del", &[]);
    }

    /// Changes where each end of the link sends what is for the other.
    fn each_end(&self, change: &str, to: &[&str]) {
        let here = vec!["neigh", change, &self.there, "dev", &self.link];
        let there = vec!["-n", &self.name, "neigh", change, &self.here, "dev", &self.other];
        for words in [here, there] {
            run("ip", &[&words, to].concat()).expect("the network is ours");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run("ip", &["link", "del", &self.link]);
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}
