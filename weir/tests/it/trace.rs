//! One event's trace across three processes: the client, ingest and, over Kafka, the processor.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::Method;
use testkit::{Broker, Collector, SentSpan, eventually};

use crate::process::{Place, Process};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENTS_SPAN: &str = "b7ad6b7169203331";
const UNSAMPLED: &str = "1bf7651916cd43dd8448eb211c80319c";

/// Posts one event with this `traceparent`; the id of the request.
async fn post(ingest: &Process, key: &str, id: &str, traceparent: &str) -> String {
    let body = format!(r#"[{{"id":"{id}","event":"traced"}}]"#);
    let headers = [("content-type", "application/json"), ("traceparent", traceparent)];
    let reply = ingest.client(Some(key)).send(Method::POST, "/v1/events", &headers, body).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.headers["x-request-id"].to_str().unwrap().to_owned()
}

async fn stored(place: &Place, events: u64) {
    let pool = &place.stores.pool;
    eventually("the events are committed", Duration::from_secs(60), async || {
        let stored: Option<i64> =
            sqlx::query_scalar("SELECT sum(stored)::bigint FROM batch_ledger").fetch_one(pool).await.unwrap();
        stored.unwrap_or_default() == i64::try_from(events).unwrap()
    })
    .await;
}

fn named<'s>(spans: &'s [SentSpan], name: &str) -> &'s SentSpan {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_shows_an_event_from_its_client_through_ingest_log_and_processor() {
    let Some(broker) = Broker::start().await else { return };
    let collector = Collector::start().await;
    let mut place = Place::new(Some(&broker.address)).await;
    place.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    place.set("WEIR_TRACE_SAMPLE", "0");
    place.run(&["migrate"]).await;
    let (_, key) = place.customer("traced", &[]).await;
    let (ingest, processor) = (place.start("ingest").await, place.start("processor").await);
    post(&ingest, &key, "unsampled", &format!("00-{UNSAMPLED}-{CLIENTS_SPAN}-00")).await;
    post(&ingest, &key, "malformed", "00-what-is-this-01").await;
    let request_id = post(&ingest, &key, "sampled", &format!("00-{TRACE}-{CLIENTS_SPAN}-01")).await;
    // A browser's SDK has its key in the path.
    let settings = format!("/v1/projects/{key}/settings");
    let traceparent = format!("00-{TRACE}-{CLIENTS_SPAN}-01");
    let headers = [("traceparent", traceparent.as_str())];
    assert_eq!(ingest.client(None).send(Method::GET, &settings, &headers, "").await.status, 200);
    stored(&place, 3).await;
    // The processes send what is left when they stop.
    assert!(ingest.stop().await.success());
    assert!(processor.stop().await.success());

    let all = collector.spans();
    assert!(!format!("{all:?}").contains(&key), "a key is in a span");
    let spans: Vec<_> = all.iter().filter(|span| span.trace_id == TRACE).cloned().collect();
    let request = named(&spans, "POST /v1/events");
    let append = named(&spans, "append");
    let process = named(&spans, "process");
    for (child, parent, service) in [
        (request, CLIENTS_SPAN, "weir-ingest"),
        (named(&spans, "read body"), &request.span_id, "weir-ingest"),
        (named(&spans, "decode"), &request.span_id, "weir-ingest"),
        (append, &request.span_id, "weir-ingest"),
        (named(&spans, "log"), &append.span_id, "weir-processor"),
        (process, &append.span_id, "weir-processor"),
        (named(&spans, "prepare"), &process.span_id, "weir-processor"),
        (named(&spans, "insert"), &process.span_id, "weir-processor"),
        (named(&spans, "commit"), &process.span_id, "weir-processor"),
    ] {
        assert_eq!((child.parent_id.as_str(), child.service.as_str()), (parent, service), "{}", child.name);
        assert!(child.begun_ns <= child.ended_ns, "{child:?}");
    }
    // And the settings that the browser asked for.
    named(&spans, "GET /v1/projects/{key}/settings");
    assert_eq!(spans.len(), 10, "{spans:#?}");
    for span in [request, process] {
        assert_eq!(span.attributes["weir.request_id"], request_id);
    }
    assert!(append.ended_ns <= named(&spans, "commit").begun_ns, "metered after it is durable");

    // The batch has a trace of its own, and names this one.
    let batch = named(&all, "batch");
    assert_eq!(batch.links, [(TRACE.to_owned(), append.span_id.clone())]);
    assert_eq!(process.links, [(batch.trace_id.clone(), batch.span_id.clone())]);
    let known = [TRACE, batch.trace_id.as_str()];
    let others = all.iter().filter(|span| !known.contains(&span.trace_id.as_str()));
    let others: BTreeSet<_> = others.map(|span| span.name.as_str()).collect();
    assert!(others.is_subset(&["reconcile"].into()), "who is not sampled sends nothing: {others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_dead_or_silent_harms_nobody() {
    let collector = Collector::silent().await;
    let dead = "http://127.0.0.1:1".to_owned();
    for endpoint in [dead, collector.endpoint()] {
        let mut place = Place::new(None).await;
        place.set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        place.set("WEIR_TRACE_SAMPLE", "1");
        place.set("WEIR_TRACES_PER_SECOND_MAX", "1000000");
        place.run(&["migrate"]).await;
        let (_, key) = place.customer("traced", &[]).await;
        let weir = place.start("standalone").await;
        let client = weir.client(Some(&key));
        for request in 0..500 {
            assert_eq!(client.post_ids([request]).await.status, 202);
        }
        stored(&place, 500).await;
        eventually("spans are given up", Duration::from_secs(60), async || {
            assert_eq!(client.post_ids([0]).await.status, 202);
            let metrics = weir.metrics().await;
            ["dropped", "failed"]
                .iter()
                .any(|result| metrics.contains(&format!("weir_trace_spans_total{{result=\"{result}\"}}")))
        })
        .await;
        let begun = std::time::Instant::now();
        assert!(weir.stop().await.success());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receiver_a_sampled_request_leaves_no_trace_in_its_frame() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let (_, key) = place.customer("traced", &[]).await;
    let weir = place.start("standalone").await;
    post(&weir, &key, "sampled", &format!("00-{TRACE}-{CLIENTS_SPAN}-01")).await;
    stored(&place, 1).await;
    assert!(!weir.metrics().await.contains("weir_trace_spans_total"));
    assert!(weir.stop().await.success());
    let ids: Vec<u8> =
        (0..TRACE.len()).step_by(2).map(|at| u8::from_str_radix(&TRACE[at..at + 2], 16).unwrap()).collect();
    let log = place.stores.folder.path().join("data/log");
    let mut segments = 0;
    for segment in files(&log) {
        let bytes = std::fs::read(segment).unwrap();
        segments += usize::from(bytes.windows(6).any(|window| window == b"traced"));
        assert!(!bytes.windows(ids.len()).any(|window| window == ids));
    }
    assert_eq!(segments, 1, "the event was looked for where it is");
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
