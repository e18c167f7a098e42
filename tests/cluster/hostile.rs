//! Clients that send nonsense: every method of every service gets bytes that are none of its messages, or too many of them. Each is refused
//! by a status; the head lives, stays small, and serves everybody else.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use millpond::rpc::pb::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::cluster::Cluster;
use super::process::peak_kib;

/// Messages as they are, in both directions.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(out, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let len = bytes::Buf::remaining(bytes);
        Ok(Some(bytes::Buf::copy_to_bytes(bytes, len).to_vec()))
    }
}

/// The path of every method.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
    services
        .flat_map(|(package, service)| service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name())))
        .collect()
}

/// Something that looks like a message: fields with numbers that exist, of all kinds, nested.
fn nonsense(seed: &mut u64, depth: u32) -> Vec<u8> {
    let mut next = |bound: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % bound
    };
    let mut bytes = Vec::new();
    for _ in 0..next(6) {
        let field = 1 + next(12);
        match next(5) {
            0 => {
                prost::encoding::encode_varint(field << 3, &mut bytes);
                let number = [0, 1, u64::from(u32::MAX), i64::MAX as u64, u64::MAX][next(5) as usize];
                prost::encoding::encode_varint(number, &mut bytes);
            }
            1 => {
                prost::encoding::encode_varint(field << 3 | 2, &mut bytes);
                let text = ["", "j1", "w1", "é\u{0}", "../../x", "lines:1", "\u{202e}"][next(7) as usize];
                prost::encoding::encode_varint(text.len() as u64, &mut bytes);
                bytes.extend_from_slice(text.as_bytes());
            }
            2 if depth > 0 => {
                let mut inner = next(u64::MAX / 2);
                let inside = nonsense(&mut inner, depth - 1);
                prost::encoding::encode_varint(field << 3 | 2, &mut bytes);
                prost::encoding::encode_varint(inside.len() as u64, &mut bytes);
                bytes.extend(inside);
            }
            3 => bytes.push(next(256) as u8),
            _ => {
                // A length that nothing follows.
                prost::encoding::encode_varint(field << 3 | 2, &mut bytes);
                prost::encoding::encode_varint([1 << 20, 1 << 40, u64::MAX][next(3) as usize], &mut bytes);
            }
        }
    }
    bytes
}

async fn call(channel: &Channel, path: &str, messages: Vec<Vec<u8>>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(tokio_stream::iter(messages));
    let answer = client.streaming(request, path.parse().unwrap(), Raw).await?;
    let mut answer = answer.into_inner();
    while answer.message().await?.is_some() {}
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn no_message_to_any_method_brings_the_head_down() {
    let mut cluster = Cluster::start(&[1]);
    let methods = methods();
    assert!(methods.len() > 20, "{methods:?}");
    let rounds = if std::env::var_os("MILLPOND_FULL").is_some() { 2_000 } else { 40 };
    let mut seed = 7;
    runtime().block_on(async {
        let channel = Endpoint::from_shared(cluster.url.clone()).unwrap().connect().await.unwrap();
        for path in &methods {
            for _ in 0..rounds {
                let messages = (0..1 + seed % 3).map(|_| nonsense(&mut seed, 3)).collect();
                // A stream that is taken, a watch say, goes on for ever.
                let answer = tokio::time::timeout(Duration::from_millis(300), call(&channel, path, messages)).await;
                if let Ok(Err(status)) = answer {
                    // What does not decode is called Internal by the library.
                    let is_undecodable = status.code() == Code::Internal && status.message().contains("decode Protobuf");
                    let is_fault = matches!(status.code(), Code::Unavailable | Code::Internal | Code::Unknown);
                    assert!(is_undecodable || !is_fault, "{path}: {status:?}");
                }
            }
        }
    });
    assert!(cluster.head_is_alive() && peak_kib(cluster.head_pid()) < 200 * 1024, "{} KiB", peak_kib(cluster.head_pid()));
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
    // Among all the nonsense may have been that its worker is to leave.
    cluster.add_worker(1, &[]);
    let job = cluster.submit_array("0-9", &[], "true");
    cluster.ends(&job, 0);
}

#[test]
fn what_is_too_large_or_no_protocol_at_all_is_refused_and_costs_nothing() {
    let mut cluster = Cluster::start(&[1]);
    let address = cluster.url.strip_prefix("http://").unwrap().to_owned();
    // Held open to the end: some say nothing, some say what no server expects.
    let mut others: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for (at, other) in others.iter_mut().enumerate() {
        let text =
            [&b""[..], b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff", &[0; 4096]][at % 4];
        let _ = other.write_all(text);
    }
    runtime().block_on(async {
        let channel = Endpoint::from_shared(cluster.url.clone()).unwrap().connect().await.unwrap();
        for path in methods() {
            let status = tokio::time::timeout(Duration::from_secs(10), call(&channel, &path, vec![vec![0xff; 5 << 20]])).await;
            let status = status.expect("an answer").unwrap_err();
            assert_eq!(status.code(), Code::OutOfRange, "{path}: {status:?}");
        }
        let mut request = Request::new(tokio_stream::iter([Vec::new()]));
        request.metadata_mut().insert("x-large", "x".repeat(64 * 1024).parse().unwrap());
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let answer = client.streaming(request, "/millpond.v1.JobService/ListJobs".parse().unwrap(), Raw).await;
        assert!(answer.is_err(), "headers of 64 KiB are taken");
    });
    let job = cluster.submit_array("0-9", &[], "true");
    cluster.ends(&job, 0);
    assert!(cluster.head_is_alive() && peak_kib(cluster.head_pid()) < 300 * 1024, "{} KiB", peak_kib(cluster.head_pid()));
}
