use http_body_util::Full;
use hyper::header::HeaderValue;
use schemas::address::AddressPolicy;
use schemas::id::TenantId;

use super::*;
use crate::tenant::Terms;

fn length(bytes: usize) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(bytes))])
}

fn admission(node: usize, tenant: usize, body: usize) -> Admission {
    Admission::new(AdmissionLimits { node, tenant, body })
}

fn tenant(id: i64) -> Option<Arc<Tenant>> {
    let terms =
        Terms { active: true, quota: None, rate: None, zone: chrono_tz::UTC, client_ip: AddressPolicy::Full };
    Some(Arc::new(Tenant::new(TenantId(id), terms)))
}

fn code(result: Result<Admitted, Problem>) -> Code {
    result.unwrap_err().code
}

#[test]
fn a_length_at_the_limit_is_admitted_and_one_more_is_not() {
    let admission = admission(1 << 20, 1 << 20, 1000);
    assert!(admission.admit(&length(1000), None).is_ok());
    assert_eq!(code(admission.admit(&length(1001), None)), Code::BodyTooLarge);
}

#[test]
fn the_nodes_budget_is_shared_by_all_and_comes_back() {
    let admission = admission(2000, 2000, 2000);
    let (one, other) = (tenant(1), tenant(2));
    let first = admission.admit(&length(1000), one).unwrap();
    let second = admission.admit(&length(1000), other.clone()).unwrap();
    assert_eq!(code(admission.admit(&length(1), tenant(3))), Code::Overloaded);
    drop(first);
    assert_eq!(
        code(admission.admit(&HeaderMap::new(), other.clone())),
        Code::Overloaded,
        "no length: the largest"
    );
    drop(second);
    assert!(admission.admit(&HeaderMap::new(), other).is_ok());
}

#[test]
fn a_tenant_at_its_share_is_refused_and_others_are_served() {
    let admission = admission(10_000, 1000, 5000);
    let (greedy, modest) = (tenant(1), tenant(2));
    let held = admission.admit(&length(999), greedy.clone()).unwrap();
    let last = admission.admit(&length(1), greedy.clone()).unwrap();
    assert_eq!(code(admission.admit(&length(1), greedy.clone())), Code::RateLimited);
    assert!(admission.admit(&length(1000), modest).is_ok());
    drop((held, last));
    let mut alone = admission.admit(&length(5000), greedy.clone()).expect("a single one may be larger");
    alone.grow(1000).expect("and grow");
    assert_eq!(code(admission.admit(&length(1), greedy.clone())), Code::RateLimited);
    drop(alone);
    assert!(admission.admit(&length(1), greedy).is_ok());
}

#[test]
fn what_a_body_grows_by_is_charged_and_given_back() {
    let admission = admission(3000, 2000, 1000);
    let greedy = tenant(1);
    let mut one = admission.admit(&length(500), greedy.clone()).unwrap();
    let other = admission.admit(&length(500), greedy).unwrap();
    one.grow(1000).unwrap();
    assert_eq!(one.grow(1).unwrap_err().code, Code::RateLimited);
    let third = admission.admit(&length(1000), tenant(2)).unwrap();
    assert_eq!(one.grow(1).unwrap_err().code, Code::Overloaded);
    drop((one, other, third));
    assert!(admission.node.take_strictly(3000, 3000), "all came back");
}

#[test]
fn senders_without_a_key_share_half_of_the_node_until_they_are_known() {
    let admission = admission(4000, 1000, 2000);
    let known = tenant(1).unwrap();
    let mut first = admission.admit(&length(1000), None).unwrap();
    let mut second = admission.admit(&length(1000), None).unwrap();
    assert_eq!(code(admission.admit(&length(1), None)), Code::Overloaded, "no fault of the sender's");
    assert!(admission.admit(&length(1), tenant(2)).is_ok());
    first.belongs_to(&known).unwrap();
    assert!(admission.admit(&length(1000), None).is_ok());
    assert_eq!(second.belongs_to(&known).unwrap_err().code, Code::RateLimited);
    drop(first);
    second.belongs_to(&known).unwrap();
    drop(second);
    assert!(known.in_flight.take_strictly(1000, 1000) && admission.keyless.take_strictly(2000, 2000));
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let admission = admission(1 << 20, 1 << 20, 5);
    let deadline = deadline(Duration::from_secs(5));
    assert_eq!(admission.read(Full::from("12345"), deadline).await.unwrap(), "12345");
    let over = admission.read(Full::from("123456"), deadline).await.unwrap_err();
    assert_eq!(over.code, Code::BodyTooLarge);
}
