# What the project's checks are called. `just verify` changes nothing.

# All checks that need no installed packages
verify:
    sh .ci/verify

# All checks, as the continuous integration runs them
ci:
    bash .ci/run

# How fast, beside what a user would pick instead: docs/performance.md
bench *ARGS:
    cargo bench --locked --bench rows -- {{ARGS}}
