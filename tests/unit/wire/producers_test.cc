#include "wire/producers.h"

#include <doctest/doctest.h>

#include <string>

#include "base/status.h"
#include "messenger/v1/messenger.pb.h"
#include "wire/coding.h"

namespace messenger::wire::producers_test {
namespace {

std::string ErrorOf(const absl::Status& status) {
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(status));
}

std::string OpenError(const std::string& bytes) {
  return ErrorOf(ParseProducerRequest(bytes, "OpenProducerRequest").status());
}

TEST_CASE("OpenProducerRequest: what protobuf encodes is understood") {
  v1::OpenProducerRequest proto;
  proto.set_name("ö" + std::string(254, 'x'));
  auto request =
      ParseProducerRequest(proto.SerializeAsString(), "OpenProducerRequest");
  REQUIRE(request.ok());
  CHECK(request->channel == "general");
  CHECK(request->name == proto.name());
  proto.set_channel("news");
  request =
      ParseProducerRequest(proto.SerializeAsString(), "OpenProducerRequest");
  REQUIRE(request.ok());
  CHECK(request->channel == "news");
}

TEST_CASE(
    "OpenProducerRequest: errors name the field, the value and the "
    "limit") {
  CHECK(OpenError("") == "name: 0 bytes; must be 1 to 256");
  std::string bytes;
  SUBCASE("a long name") {
    AppendBytesField(bytes, 2, std::string(257, 'x'));
    CHECK(OpenError(bytes) == "name: 257 bytes; must be 1 to 256");
  }
  SUBCASE("not UTF-8") {
    AppendBytesField(bytes, 2, "x\xFF");
    CHECK(OpenError(bytes) == "name: not valid UTF-8: byte 0xff at offset 1");
  }
  SUBCASE("a channel") {
    AppendBytesField(bytes, 1, "a b");
    AppendBytesField(bytes, 2, "x");
    CHECK(OpenError(bytes).starts_with("channel: \"a b\""));
  }
  SUBCASE("an unknown field") {
    AppendBytesField(bytes, 3, "x");
    CHECK(OpenError(bytes) ==
          "OpenProducerRequest: field 3, of wire type 2, is not known to this "
          "server");
  }
  SUBCASE("malformed") {
    CHECK(OpenError("\x0A\x7F") ==
          "request: not an encoded messenger.v1.OpenProducerRequest");
  }
}

TEST_CASE("ListProducersRequest: what protobuf encodes is understood") {
  v1::ListProducersRequest proto;
  auto request = ParseListProducersRequest("");
  REQUIRE(request.ok());
  CHECK(request->page_size == 0);
  CHECK(request->channel.empty());
  proto.set_page_size(7);
  proto.set_page_token("t");
  proto.set_channel("news");
  const std::string bytes = proto.SerializeAsString();
  request = ParseListProducersRequest(bytes);
  REQUIRE(request.ok());
  CHECK(request->page_size == 7);
  CHECK(request->page_token == "t");
  CHECK(request->channel == "news");
}

TEST_CASE("ListProducersRequest: what is not valid is refused") {
  std::string bytes;
  SUBCASE("a channel") {
    AppendBytesField(bytes, 3, "a b");
    CHECK(ErrorOf(ParseListProducersRequest(bytes).status())
              .starts_with("channel: \"a b\""));
  }
  SUBCASE("an unknown field") {
    AppendBytesField(bytes, 4, "x");
    CHECK(ErrorOf(ParseListProducersRequest(bytes).status()) ==
          "ListProducersRequest: field 4, of wire type 2, is not known to this "
          "server");
  }
  SUBCASE("malformed") {
    CHECK(ErrorOf(ParseListProducersRequest("\x0A\x7F").status()) ==
          "request: not an encoded messenger.v1.ListProducersRequest");
  }
}

}  // namespace
}  // namespace messenger::wire::producers_test
