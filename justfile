# Daily commands; `just --list` shows them. They need `just` (cargo install just). CI does without.

# Check format and lints.
check:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# Run the tests whose name contains NAME; without it all, and the documentation's examples.
test NAME='':
    cargo test --locked {{ if NAME == '' { '' } else { '--test it -- ' + quote(NAME) } }}

# Run everything that has to hold before a change lands.
ci:
    bash .ci/run

# Build what is released, with the list of its packages (SBOM), into target/release-files.
release:
    bash .ci/release

# Measure in small sizes, into target/benchmarks; or as `bench/run` with ARGS does.
bench *ARGS='--quick':
    bench/run {{ ARGS }}

# Measure the working tree and BASE, a revision, in turns, and print what changed beyond noise.
bench-compare BASE *ARGS:
    bench/compare {{ quote(BASE) }} {{ ARGS }}

# Serve, with the data in ./whimbrel-data.
run *ARGS:
    cargo run --release --locked -- serve {{ ARGS }}

# Format all packages.
fmt:
    cargo fmt
    cargo fmt --manifest-path bench/Cargo.toml
    cargo fmt --manifest-path fuzz/Cargo.toml

# Build the documentation of the code, into target/doc.
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked

# Build the documents as a book, into target/book/book; with --serve, show it at port 3000.
docs *ARGS:
    bash .ci/book {{ ARGS }}

# Fuzz TARGET, which is a file of fuzz/fuzz_targets, for SECONDS.
fuzz TARGET SECONDS='60':
    mkdir -p fuzz/corpus/{{ TARGET }}
    cargo fuzz run --dev --sanitizer none {{ TARGET }} \
        fuzz/corpus/{{ TARGET }} fuzz/seeds/{{ TARGET }} -- -max_total_time={{ SECONDS }}
