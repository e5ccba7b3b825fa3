//! rust_socketio through the steps of harness.mjs: stock-client URL TRANSPORT.
//!
//! This client has one namespace a connection, takes one attachment an event, and gives an event that has one
//! no other argument: hence binary goes by "/custom", where no offset stands behind the arguments.  It is never told to
//! disconnect: it takes the end of its own connection for an accident, and its lock waits for itself then.

use rust_socketio::client::Client;
use rust_socketio::{ClientBuilder, Event, Payload, TransportType};
use serde_json::{json, Value};
use std::io::BufRead;
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

type Outcome = Result<bool, String>; // false: left out

enum Came {
    Connected,
    Closed,
    Failed(String),
    Said(String, Payload),
}

struct Person {
    client: Client,
    came: Receiver<Came>,
}

fn text<E: std::fmt::Debug>(error: E) -> String {
    format!("{error:?}")
}

fn check(condition: bool, shown: impl std::fmt::Debug) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("unexpected: {shown:?}")) }
}

impl Person {
    fn open(url: &str, transport: &str, namespace: &str) -> Result<Person, String> {
        let (sender, came) = channel();
        let (connected, closed, failed) = (sender.clone(), sender.clone(), sender.clone());
        let mut builder = ClientBuilder::new(url)
            .namespace(namespace)
            .on(Event::Connect, move |_, _| drop(connected.send(Came::Connected)))
            .on(Event::Close, move |_, _| drop(closed.send(Came::Closed)))
            .on(Event::Error, move |error, _| drop(failed.send(Came::Failed(text(error)))))
            .on_any(move |event, payload, _| drop(sender.send(Came::Said(event.to_string(), payload))));
        match transport {
            "polling" => builder = builder.transport_type(TransportType::Polling),
            "websocket" => builder = builder.transport_type(TransportType::Websocket),
            _ => {}
        }
        Ok(Person { client: builder.connect().map_err(text)?, came })
    }

    fn connect(url: &str, transport: &str, namespace: &str) -> Result<Person, String> {
        let person = Person::open(url, transport, namespace)?;
        person.wait("the connection", |came| matches!(came, Came::Connected).then_some(()))?;
        Ok(person)
    }

    /// Waits for one that `wanted` takes, and passes over the others.
    fn wait<T>(&self, what: &str, mut wanted: impl FnMut(Came) -> Option<T>) -> Result<T, String> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let came = self.came.recv_timeout(left).map_err(|_| format!("{what} did not come"))?;
            if let Some(found) = wanted(came) {
                return Ok(found);
            }
        }
    }

    fn next(&self, event: &str) -> Result<Payload, String> {
        self.wait(event, |came| match came {
            Came::Said(name, payload) if name == event => Some(payload),
            _ => None,
        })
    }

    /// The arguments of the next event of that name.
    fn arguments(&self, event: &str) -> Result<Vec<Value>, String> {
        match self.next(event)? {
            Payload::Text(values) => Ok(values),
            other => Err(text(other)),
        }
    }

    /// Emits, and gives the acknowledgement's first argument.
    fn ask(&self, event: &str, data: impl Into<Payload>) -> Result<Value, String> {
        let (sender, answer) = channel();
        self.client
            .emit_with_ack(event, data, LIMIT, move |payload, _| drop(sender.send(payload)))
            .map_err(text)?;
        match answer.recv_timeout(LIMIT / 4).map_err(|_| format!("no answer to {event}"))? {
            Payload::Text(values) => {
                let mut value = values.into_iter().next().ok_or("an empty answer")?;
                while let Value::Array(list) = value {
                    value = list.into_iter().next().ok_or("an empty answer")?;
                }
                Ok(value)
            }
            other => Err(text(other)),
        }
    }

    fn join(&self, room: &str) -> Result<(), String> {
        let answer = self.ask("join", json!(room))?;
        check(answer["ok"] == json!(true) && answer["room"] == json!(room), &answer)
    }
}

struct Run {
    url: String,
    transport: String,
    room: String,
    people: Vec<Person>,
}

impl Run {
    fn connect(&mut self) -> Outcome {
        for _ in 0..2 {
            self.people.push(Person::connect(&self.url, &self.transport, "/")?);
        }
        Ok(true)
    }

    fn join(&mut self) -> Outcome {
        for person in &self.people {
            person.join(&self.room)?;
        }
        Ok(true)
    }

    fn broadcast(&mut self) -> Outcome {
        let message = json!({"room": self.room, "body": "é😀"});
        self.people[0].client.emit("msg", Payload::Text(vec![message.clone(), json!("second")])).map_err(text)?;
        for person in &self.people {
            let arguments = person.arguments("msg")?;
            check(arguments[0] == message && arguments[1] == json!("second"), &arguments)?;
            check(arguments[2]["room"] == json!(self.room) && arguments[2]["seq"] == json!(1), &arguments)?;
        }
        Ok(true)
    }

    fn acknowledgement(&mut self) -> Outcome {
        let answer = self.people[1].ask("msg", json!({"room": self.room, "body": "acknowledged"}))?;
        check(answer["ok"] == json!(true) && answer["seq"] == json!(2), &answer)?;
        let answer = self.people[0].ask("echo", Payload::Text(vec![json!(1), json!([2]), json!({"three": null})]))?;
        check(answer["ok"] == json!(true), &answer)?;
        let arguments = self.people[0].arguments("echo")?;
        check(arguments[..3] == [json!(1), json!([2]), json!({"three": null})], &arguments)?;
        Ok(true)
    }

    fn binary(&mut self) -> Outcome {
        let person = Person::connect(&self.url, &self.transport, "/custom")?;
        // Whatever a WebSocket brings, this client cuts at 0x1e, as if it were the answer to a poll.
        let bytes: Vec<u8> = (0..=255).filter(|byte| self.transport == "polling" || *byte != 0x1e).collect();
        person.client.emit("echo", bytes.clone()).map_err(text)?;
        match person.next("echo")? {
            Payload::Binary(data) => check(data.as_ref() == bytes.as_slice(), &data)?,
            other => check(false, other)?,
        }
        Ok(true)
    }

    fn custom(&mut self) -> Outcome {
        let person = Person::connect(&self.url, &self.transport, "/custom")?;
        person.client.emit("echo", json!("there")).map_err(text)?;
        let arguments = person.arguments("echo")?;
        check(arguments[0] == json!("there"), &arguments)?;
        let answer = person.ask("join", json!(self.room))?;
        check(answer["members"] == json!(1), &answer)?;
        Ok(true)
    }

    fn unknown(&mut self) -> Outcome {
        let person = Person::open(&self.url, &self.transport, "/unknown")?;
        let error = person.wait("the refusal", |came| match came {
            Came::Failed(error) => Some(error),
            Came::Connected => Some("connected".into()),
            _ => None,
        })?;
        check(error.contains("Invalid namespace"), &error)?;
        Ok(true)
    }

    fn reconnect(&mut self) -> Outcome {
        println!("# kill");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(text)?;
        if line.trim() != "killed" {
            return Ok(false);
        }
        for person in &self.people {
            person.wait("the end of the connection", |came| matches!(came, Came::Closed | Came::Failed(_)).then_some(()))?;
        }
        let end = Instant::now() + LIMIT;
        while let Err(error) = self.people.iter().try_for_each(|person| person.join(&self.room)) {
            check(Instant::now() < end, error)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        let answer = self.people[0].ask("msg", json!({"room": self.room, "body": "back"}))?;
        check(answer["ok"] == json!(true), &answer)?;
        while self.people[1].arguments("msg")?[0]["body"] != json!("back") {}
        Ok(true)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, transport) = (arguments[0].clone(), arguments[1].clone());
    let room = format!("room of rust {transport} {}", std::process::id());
    let mut run = Run { url, transport, room, people: Vec::new() };
    let steps: [(&str, fn(&mut Run) -> Outcome); 8] = [
        ("connect", Run::connect),
        ("join", Run::join),
        ("broadcast", Run::broadcast),
        ("acknowledgement", Run::acknowledgement),
        ("binary", Run::binary),
        ("custom namespace", Run::custom),
        ("unknown namespace", Run::unknown),
        ("reconnect", Run::reconnect),
    ];
    let mut number = 0;
    for (name, step) in steps {
        number += 1;
        match step(&mut run) {
            Ok(true) => println!("ok {number} - {name}"),
            Ok(false) => println!("ok {number} - {name} # SKIP nothing can be killed here"),
            Err(error) => {
                println!("not ok {number} - {name}\n# {error}");
                break;
            }
        }
    }
    println!("1..{number}");
    std::process::exit(0); // the client's threads have no end
}
