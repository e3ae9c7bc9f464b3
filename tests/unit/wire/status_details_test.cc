#include "wire/status_details.h"

#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/reason.h"
#include "base/status.h"
#include "support/bytes.h"
#include "support/seed.h"
#include "wire/coding.h"

namespace messenger::wire::status_details_test {
namespace {

// https://github.com/googleapis/googleapis/tree/master/google/rpc
constexpr const char* kFile = R"(
  name: "google/rpc/status.proto" package: "google.rpc" syntax: "proto3"
  message_type {
    name: "Any"
    field { name: "type_url" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
  }
  message_type {
    name: "Status"
    field { name: "code" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "message" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "details" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".google.rpc.Any" }
  }
  message_type {
    name: "ErrorInfo"
    field { name: "reason" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "domain" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "metadata" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".google.rpc.ErrorInfo.MetadataEntry" }
    nested_type {
      name: "MetadataEntry"
      field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
      options { map_entry: true }
    }
  })";

// The messages of google.rpc, as protobuf knows them.
class Rpc {
 public:
  Rpc() {
    google::protobuf::FileDescriptorProto file;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(kFile, &file));
    REQUIRE(pool_.BuildFile(file) != nullptr);
  }

  // What is in the bytes of such a message, on one line.
  std::string Text(const std::string& type, const std::string& bytes) {
    const auto message = New(type);
    REQUIRE(message->ParseFromString(bytes));
    return message->ShortDebugString();
  }

  std::string Encode(const std::string& type, const std::string& text) {
    const auto message = New(type);
    REQUIRE(google::protobuf::TextFormat::ParseFromString(text, message.get()));
    return message->SerializeAsString();
  }

 private:
  std::unique_ptr<google::protobuf::Message> New(const std::string& type) {
    return std::unique_ptr<google::protobuf::Message>(
        factory_
            .GetPrototype(pool_.FindMessageTypeByName("google.rpc." + type))
            ->New());
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
};

constexpr std::string_view kUrl = "type.googleapis.com/google.rpc.ErrorInfo";

// A status with one detail.
std::string Details(std::string_view url, std::string_view value) {
  std::string any;
  AppendBytesField(any, 1, url);
  AppendBytesField(any, 2, value);
  std::string status;
  AppendVarintField(status, 1, 14);
  AppendBytesField(status, 3, any);
  return status;
}

absl::Status Parsed(std::string_view encoded) {
  absl::Status status = absl::UnavailableError("text");
  AddStatusDetails(encoded, &status);
  CHECK(absl::IsUnavailable(status));
  CHECK(MessageOf(status) == "text");
  return status;
}

const absl::Status kLimit =
    WithReason(absl::ResourceExhaustedError("text"), reason::kLimitReached,
               {{"limit", "max_channels"}, {"value", "5"}});

TEST_CASE("status details: they are google.rpc.Status with an ErrorInfo") {
  Rpc rpc;
  const std::string encoded = EncodeStatusDetails(WithReason(
      absl::UnavailableError("text"), reason::kStorageFailed, {{"a", "b"}}));
  FieldReader fields(encoded);
  std::string any;
  while (fields.Next()) {
    if (fields.tag() == MakeTag(3, WireType::kBytes)) any = fields.bytes();
  }
  CHECK(rpc.Text("Status", encoded)
            .starts_with(
                R"(code: 14 message: "text" details { type_url: )"
                R"("type.googleapis.com/google.rpc.ErrorInfo" value: )"));
  FieldReader in_any(any);
  REQUIRE(in_any.Next());
  REQUIRE(in_any.Next());
  CHECK(rpc.Text("ErrorInfo", std::string(in_any.bytes())) ==
        R"(reason: "STORAGE_FAILED" domain: "messenger.v1" )"
        R"(metadata { key: "a" value: "b" })");
}

TEST_CASE("status details: what protobuf encodes is understood") {
  Rpc rpc;
  const std::string info =
      rpc.Encode("ErrorInfo", R"(reason: "LIMIT_REACHED" domain: "messenger.v1"
                      metadata { key: "limit" value: "max_channels" }
                      metadata { key: "value" value: "5" })");
  const absl::Status status = Parsed(Details(kUrl, info));
  CHECK(ReasonOf(status) == "LIMIT_REACHED");
  CHECK(ReasonDetail(status, "limit") == "max_channels");
  CHECK(ReasonDetail(status, "value") == "5");
}

TEST_CASE("status details: what was encoded is there again") {
  absl::Status status = absl::ResourceExhaustedError("text");
  AddStatusDetails(EncodeStatusDetails(kLimit), &status);
  CHECK(status == kLimit);
}

TEST_CASE("status details: an error without a reason has none") {
  CHECK(EncodeStatusDetails(absl::UnavailableError("text")).empty());
  CHECK(EncodeStatusDetails(absl::OkStatus()).empty());
}

TEST_CASE("status details: what is too large for a trailer is left out") {
  const auto size = [](std::size_t text) {
    return EncodeStatusDetails(
               WithReason(absl::UnavailableError(std::string(text, 'x')),
                          reason::kOverloaded))
        .size();
  };
  CHECK(size(1000) > 1000);
  CHECK(size(10'000) == 0);
}

TEST_CASE("status details: details of others are passed over") {
  Rpc rpc;
  const std::string ours =
      rpc.Encode("ErrorInfo", R"(reason: "OVERLOADED" domain: "messenger.v1")");
  const std::string theirs =
      rpc.Encode("ErrorInfo", R"(reason: "QUOTA" domain: "proxy.example")");
  CHECK(ReasonOf(Parsed(Details(kUrl, theirs))).empty());
  CHECK(ReasonOf(Parsed(Details("type.googleapis.com/x.Y", ours))).empty());
  CHECK(ReasonOf(Parsed(Details("type.googleapis.com/x.Y", "junk") +
                        Details(kUrl, theirs) + Details(kUrl, ours))) ==
        "OVERLOADED");
}

TEST_CASE("status details: what cannot be is not believed") {
  const auto info = [](std::string_view reason, std::string_view name,
                       std::string_view value) {
    std::string entry;
    AppendBytesField(entry, 1, name);
    AppendBytesField(entry, 2, value);
    std::string bytes;
    AppendBytesField(bytes, 1, reason);
    AppendBytesField(bytes, 2, kErrorDomain);
    AppendBytesField(bytes, 3, entry);
    return bytes;
  };
  const auto reason_of = [](const std::string& bytes) {
    return ReasonOf(Parsed(Details(kUrl, bytes)));
  };
  CHECK(reason_of(info("A", "b", "c")) == "A");
  CHECK(reason_of(info("", "b", "c")).empty());
  CHECK(reason_of(info("a reason", "b", "c")).empty());
  CHECK(reason_of(info("A\x1B[2J", "b", "c")).empty());
  CHECK(reason_of(info(std::string(65, 'A'), "b", "c")).empty());
  CHECK(reason_of(info("A", "", "c")).empty());
  CHECK(reason_of(info("A", "b/c", "c")).empty());
  CHECK(reason_of(info("A", std::string(65, 'b'), "c")).empty());
  CHECK(reason_of(info("A", "b", std::string(257, 'c'))).empty());
  CHECK(reason_of(info("A", "b", "c") + "\x1A\x7F").empty());
  std::string many;
  for (int i = 0; i < 17; ++i) many += info("A", "b" + std::to_string(i), "c");
  CHECK(reason_of(many).empty());
  CHECK(ReasonOf(Parsed(Details(kUrl, info("A", "b", "c")) +
                        std::string(10'000, '\0')))
            .empty());
  // What a terminal must not be given is escaped.
  const absl::Status status = Parsed(Details(kUrl, info("A", "b", "\x1B[2J")));
  CHECK(ReasonDetail(status, "b") == "\\x1b[2J");
}

TEST_CASE("status details: no mutilated bytes do harm") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  const std::string encoded = EncodeStatusDetails(kLimit);
  int understood = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = encoded;
    test::FlipBit(bytes, random.Between(0, bytes.size() * 8 - 1));
    bytes.resize(random.Between(0, bytes.size()));
    understood += ReasonOf(Parsed(bytes)).empty() ? 0 : 1;
  }
  CHECK(understood > 0);
}

}  // namespace
}  // namespace messenger::wire::status_details_test
