#include "server/local_client.h"

#include <grpcpp/server_posix.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace messenger {

Client ConnectLocally(grpc::Server* server, ClientOptions options) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                 ends.data()) != 0) {
    return Client::FromFd(-1, std::move(options));
  }
  if (server == nullptr) {
    close(ends[0]);
  } else {
    grpc::AddInsecureChannelFromFd(server, ends[0]);
  }
  return Client::FromFd(ends[1], std::move(options));
}

}  // namespace messenger
