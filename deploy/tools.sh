# Sourced: puts a cargo subcommand of one version into target/tools, unless it is there, and target/tools/bin into PATH.
tools="$(pwd -P)/target/tools"
PATH="$tools/bin:$PATH"
export PATH

# tool NAME VERSION
tool() {
    case $(cargo install --list --root "$tools" 2>/dev/null) in
        *"$1 v$2:"*) ;;
        *) cargo install --quiet --locked --root "$tools" "$1@$2" >&2 ;;
    esac
}
