//! A server that says what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Status, headers and body of an answer.
pub(crate) type Answer = (u16, &'static str, String);

/// A server that gives these answers, one a connection; and what it is asked, headers and body.
pub(crate) fn server(answers: Vec<Answer>) -> (String, Receiver<(String, String)>) {
    let (sender, receiver) = channel();
    let answers = answers.into_iter().map(move |answer| {
        let sender = sender.clone();
        move |head: &str, asked: &str| {
            sender.send((head.to_owned(), asked.to_owned())).unwrap();
            answer
        }
    });
    (serve(answers), receiver)
}

/// The address of a server that answers each connection, whose headers and body it is told, by the next
/// of `answers`.
pub(crate) fn serve<A: FnOnce(&str, &str) -> Answer>(
    answers: impl Iterator<Item = A> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut asked = vec![0; length];
            reader.read_exact(&mut asked).unwrap();
            let (status, headers, body) = answer(&head, str::from_utf8(&asked).unwrap());
            let n = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-length: {n}\r\nconnection: close\r\n{headers}\r\n{body}"
            )
            .unwrap();
        }
    });
    url
}
