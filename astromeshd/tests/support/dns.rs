//! A DNS server on a free port of 127.0.0.1, which answers by what a test wrote into it.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

type Zone = BTreeMap<(String, RecordType), Vec<RData>>;

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    serving: JoinHandle<()>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::new()));
        let serving = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Self {
            address,
            zone,
            serving,
        }
    }

    /// From now on `host` has these addresses.
    pub(crate) fn set_addresses(&self, host: &str, addresses: &[IpAddr]) {
        let records = addresses.iter().map(|ip| RData::from(*ip)).collect();
        let kind = match addresses {
            [IpAddr::V6(_), ..] => RecordType::AAAA,
            _ => RecordType::A,
        };
        self.set(host, kind, records);
    }

    /// From now on `service` is at these places. Each gets a host of its own.
    pub(crate) fn set_service(&self, service: &str, places: &[SocketAddr]) {
        let mut records = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let host = format!("host-{number}.{service}");
            self.set_addresses(&host, &[place.ip()]);
            let target = Name::from_ascii(format!("{host}.")).unwrap();
            records.push(RData::SRV(SRV::new(0, 0, place.port(), target)));
        }
        self.set(service, RecordType::SRV, records);
    }

    fn set(&self, name: &str, kind: RecordType, records: Vec<RData>) {
        let key = (format!("{name}."), kind);
        self.zone.lock().unwrap().insert(key, records);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4_096];
    while let Ok((read, from)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_vec(&buffer[..read]) else {
            continue;
        };
        let answer = answer(&question, &zone.lock().unwrap());
        drop(socket.send_to(&answer.to_vec().unwrap(), from).await);
    }
}

fn answer(question: &Message, zone: &Zone) -> Message {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.id, question.op_code);
    let name = query.name().to_ascii().to_ascii_lowercase();
    let is_there = zone.keys().any(|(known, _)| *known == name);
    if !is_there {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    for data in zone.get(&(name, query.query_type())).into_iter().flatten() {
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
    }
    answer.add_query(query);
    answer
}
