//! Compiles `proto/` with protox (pure Rust: no protoc is needed).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["jobs", "datasets", "cluster", "worker", "identity"].map(|name| format!("proto/millpond/v1/{name}.proto"));
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("millpond_descriptor.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    tonic_prost_build::configure().compile_fds(protox::compile(["otlp/traces.proto"], ["proto"])?)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
