// A TCP connection without a library on top, and enough HTTP/2 to make a call
// on it and break off in the middle.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace messenger::test {

// Connected to a port of this machine. Waits are bounded: they throw.
class TcpSocket {
 public:
  explicit TcpSocket(int port);
  // The same, to a server that may refuse: null if it breaks off before the
  // connection is known to be made.
  static std::unique_ptr<TcpSocket> TryConnect(int port);
  ~TcpSocket();  // closes
  TcpSocket(const TcpSocket&) = delete;
  TcpSocket& operator=(const TcpSocket&) = delete;

  // False if the other end has closed.
  bool Send(std::string_view bytes);
  // Waits for at least this many bytes; fewer if the other end has closed.
  std::string Receive(std::size_t at_least);
  // Waits until this many bytes have arrived, and leaves them where they are.
  void AwaitArrived(std::size_t at_least);
  // No more will be sent.
  void CloseSending();
  // Reads and drops until the other end has closed; true if it broke off.
  bool AwaitClose();
  // Whether something arrives within this time, be it the end.
  bool ArrivesWithin(std::chrono::milliseconds time);
  // Sends until the other end takes no more; returns how many bytes it took.
  std::size_t SendUntilFull();
  // Breaks off: the other end sees ECONNRESET.
  void Reset();
  // From now on nothing arrives, nor is confirmed, as if this machine were gone
  // without a word.
  void Vanish();

 private:
  friend class TcpListener;
  struct Taken {
    int fd;
  };
  explicit TcpSocket(Taken taken) : fd_(taken.fd) {}

  int fd_;
};

// Listens on a free port of this machine.
class TcpListener {
 public:
  TcpListener();
  ~TcpListener();
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;

  int port() const { return port_; }
  // Waits, with a bound, for the next connection.
  TcpSocket Accept() const;

 private:
  int fd_;
  int port_ = 0;
};

// What an HTTP/2 client says first, with this window for each stream.
std::string Http2Preface(std::uint32_t stream_window = 65'535);
// Lets the server send this much more on the connection.
std::string Http2Window(std::uint32_t bytes);
// The header of a call of this method of ours.
std::string Http2Call(std::uint32_t stream, std::string_view method);
// Data of a stream, not more than 16 KiB.
std::string Http2Data(std::uint32_t stream, std::string_view data,
                      bool last = false);
// As gRPC frames a message in the data.
std::string GrpcMessage(std::string_view bytes);

}  // namespace messenger::test
