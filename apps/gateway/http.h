// HTTP as the handlers see it: plain values, whatever reads and writes them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace messenger::app {

struct Header {
  std::string name = {};
  std::string value = {};
};

using Headers = std::vector<Header>;

// The values of the headers of this name, whose case does not matter.
std::vector<std::string_view> FindHeaders(const Headers& headers,
                                          std::string_view name);

// The first one of them.
std::optional<std::string_view> FindHeader(const Headers& headers,
                                           std::string_view name);

bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// What a request asks for: "/v1/channels/a%20b?limit=3".
struct Target {
  std::string path = {};  // as it was sent: "/v1/channels/a%20b"
  std::vector<std::string> segments = {};  // decoded: "v1", "channels", "a b"
  std::vector<std::pair<std::string, std::string>> query = {};  // decoded
};

// Parses the target of a request: a path, or a whole URL as for a proxy.
// INVALID_ARGUMENT if it is neither, or has a % that is followed by no byte. A
// '+' in the query is a blank.
absl::StatusOr<Target> ParseRequestTarget(std::string_view text);

// Who is at the other end of a connection, as far as the connection tells.
struct Peer {
  std::string address = {};  // without the port
  // Of this machine. Behind a proxy on this machine, everybody is.
  bool is_local = false;
  // The connection itself is encrypted.
  bool is_encrypted = false;
};

struct Request {
  std::string method = {};
  Target target = {};
  Headers headers = {};
  std::string body = {};
  Peer peer = {};
};

// A body that is made while it is sent.
class BodyStream {
 public:
  // Many streams may send the same text.
  using Text = std::shared_ptr<const std::string>;
  using Piece = absl::AnyInvocable<void(Text)>;

  BodyStream() = default;
  virtual ~BodyStream() = default;
  BodyStream(const BodyStream&) = delete;
  BodyStream& operator=(const BodyStream&) = delete;

  // Calls `done` once, on any thread and perhaps at once, with the next piece,
  // or with null at the end. Called again when that piece has been sent.
  virtual void Next(Piece done) = 0;

  // Nobody takes it any more: what waits in Next is called soon.
  virtual void Cancel() = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  // In the place of common ones of the same name.
  Headers headers = {};
  std::string body = {};
  // Instead of `body`.
  std::shared_ptr<BodyStream> stream = nullptr;
};

// Takes the answer, once, on any thread.
using Respond = absl::AnyInvocable<void(Response)>;

// "Not Found".
std::string_view ReasonOf(int status);

// Whether all that read this request agree where it ends, and whom it is for:
// INVALID_ARGUMENT if there are two lengths, a length and chunks, another
// coding, or not one Host. A proxy in between that took another view would let
// one caller put words into the mouth of the next.
absl::Status CheckFraming(const Headers& headers, bool is_http_1_0);

}  // namespace messenger::app
