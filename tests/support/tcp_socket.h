// A TCP connection without a library on top, and enough HTTP/2 to make a call
// on it and break off in the middle.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace messenger::test {

// Connected to a port of this machine. Waits are bounded: they throw.
class TcpSocket {
 public:
  explicit TcpSocket(int port);
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
  // Reads and drops until the other end has closed.
  void AwaitClose();
  // Breaks off: the other end sees ECONNRESET.
  void Reset();

 private:
  int fd_;
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
