// Writes the inputs that each corpus begins with, made by the library itself:
//   messenger_fuzz_seeds DIRECTORY
// writes DIRECTORY/<target>/<name>.
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/reason.h"
#include "fuzz/check.h"
#include "fuzz/pieces.h"
#include "fuzz/protobuf.h"
#include "fuzz/seal.h"
#include "log/durable/durable_log.h"
#include "log/durable/journal.h"
#include "log/durable/segment_format.h"
#include "messenger/v1/messenger.pb.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "wire/coding.h"
#include "wire/read.h"
#include "wire/send.h"
#include "wire/status_details.h"

namespace messenger::fuzz {
namespace {

using test::FaultyFileSystem;

class Corpora {
 public:
  explicit Corpora(std::filesystem::path directory)
      : directory_(std::move(directory)) {}

  void Add(std::string_view target, std::string_view name,
           std::string_view bytes) const {
    const std::filesystem::path path = directory_ / target / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    Check(file.good(), path.string() + ": cannot be written");
  }

 private:
  const std::filesystem::path directory_;
};

// A log that is used in some way, and its files.
class Lab {
 public:
  Lab() { Open(); }

  void Open(Durability durability = Durability::kFsync) {
    auto opened = DurableLog::Open(
        "/log",
        {.retention = {.max_age = std::chrono::hours(1)},
         .directory = {.durability = durability}},
        {.clock = {.now = [this] { return clock_.now(); },
                   .steady_now = [this] { return clock_.steady_now(); }},
         .files = files_});
    CheckOk(opened.status(), "Open");
    log_ = *std::move(opened);
  }
  void Close() { log_.reset(); }
  void Kill() {
    files_->Stop();
    log_.reset();
    std::mt19937_64 random;
    files_->Crash(FaultyFileSystem::CrashMode::kKillProcess, random);
  }

  void Append(std::string_view channel, const std::vector<std::string>& texts) {
    clock_.Advance(std::chrono::seconds(1));
    test::MustAppend(*log_, test::BatchOf(channel, texts));
  }
  void Produce(std::string_view channel, std::uint64_t first,
               const std::vector<std::string>& texts) {
    clock_.Advance(std::chrono::seconds(1));
    test::MustAppend(*log_,
                     test::BatchOf(channel, test::Producer(1), first, texts));
  }
  void ProduceAs(std::string_view name, std::uint64_t first,
                 const std::vector<std::string>& texts) {
    clock_.Advance(std::chrono::seconds(1));
    const ProducerInfo producer =
        test::MustOpenProducer(*log_, "general", name);
    test::MustAppend(*log_, test::BatchOf(producer, first, texts));
  }
  void ForgetProducer(std::string_view name) {
    CheckOk(test::DeleteProducer(*log_, "general", name), "DeleteProducer");
  }
  void AppendWithKey(std::string_view key, const std::string& text) {
    test::MustAppend(*log_, test::BatchWithKey("general", key, text));
  }
  // All that can have an owner.
  void ProduceBy(std::string_view owner, std::uint64_t first) {
    using test::By;
    clock_.Advance(std::chrono::seconds(1));
    test::MustAppend(
        *log_, By(owner, test::BatchOf("general", test::Producer(2), first,
                                       {"owned"})));
    const ProducerInfo producer =
        test::MustOpenProducer(*log_, "general", owner, owner);
    test::MustAppend(*log_,
                     By(owner, test::BatchOf(producer, first, {"named"})));
    test::MustAppend(*log_, By(owner, test::BatchWithKey("general", "k",
                                                         std::string(owner))));
  }
  void Delete(std::string_view channel) {
    CheckOk(test::Delete(*log_, channel), "Delete");
  }
  // So long that what comes next is in another segment.
  void Wait() { clock_.Advance(std::chrono::minutes(10)); }

  std::vector<Piece> Pieces() const;

 private:
  Piece PieceOf(std::string_view path) const;

  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  test::FakeClock clock_;
  std::shared_ptr<DurableLog> log_;
};

Piece Lab::PieceOf(std::string_view path) const {
  // The number is the last 20 digits before the suffix.
  const std::size_t suffix = path.rfind('.');
  const auto number = [&] {
    return static_cast<std::uint8_t>(
        std::stoul(std::string(path.substr(suffix - 20, 20))));
  };
  Piece piece;
  if (path.ends_with(".journal")) {
    piece.kind = PieceKind::kJournal;
    piece.name = number();
  } else if (path.ends_with(".segment") || path.ends_with(".index")) {
    piece.kind =
        path.ends_with(".index") ? PieceKind::kIndex : PieceKind::kSegment;
    for (std::size_t i = 0; i < kChannels.size(); ++i) {
      if (path.find(fmt::format("/{}.channel/", kChannels[i])) !=
          std::string_view::npos) {
        piece.name = static_cast<std::uint8_t>(i << 6U | number());
      }
    }
  }
  piece.content = files_->Contents(std::string(path));
  if (piece.kind == PieceKind::kJournal) {
    // Not the room ahead.
    const std::size_t last = piece.content.find_last_not_of('\0');
    if (last + 1 < piece.content.size()) piece.mode |= kPadded;
    piece.content.resize(last + 1);
  }
  return piece;
}

std::vector<Piece> Lab::Pieces() const {
  std::vector<Piece> pieces;
  for (const std::string& path : files_->Files()) {
    if (!path.ends_with("/LOCK")) pieces.push_back(PieceOf(path));
  }
  // The format is known here as well as in the library: if not, the library's
  // checksums are not these.
  for (const Piece& piece : pieces) {
    const std::uint64_t key = KeyOf(files_->Contents("/log/checkpoint"));
    Check(piece.File(key).starts_with(piece.content),
          "seal.cc makes something else of " + piece.path());
  }
  return pieces;
}

std::string LogInput(std::uint8_t choices, const std::vector<Piece>& pieces) {
  std::string bytes(1, static_cast<char>(choices));
  for (const Piece& piece : pieces) bytes += Encode(piece);
  return bytes;
}

// The same log for all that a fuzzer can choose to do with it, whole and
// damaged, and its files for the targets that read one of them.
void AddLog(const Corpora& corpora, std::string_view name, const Lab& lab) {
  const std::vector<Piece> pieces = lab.Pieces();
  for (const unsigned choices : {0U, 1U, 6U, 12U, 20U, 36U, 63U, 196U, 213U}) {
    corpora.Add("log_directory", fmt::format("{}-{}", name, choices),
                LogInput(static_cast<std::uint8_t>(choices), pieces));
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    std::vector<Piece> without = pieces;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
    corpora.Add("log_directory", fmt::format("{}-without-{}", name, i),
                LogInput(0, without));
    for (const std::size_t at : {std::size_t{40}, piece.content.size() / 2,
                                 piece.content.size() - 5}) {
      std::vector<Piece> damaged = pieces;
      damaged[i].mode |= kPatched;
      damaged[i].content.push_back(static_cast<char>(at & 0xFFU));
      damaged[i].content.push_back(static_cast<char>(at >> 8U));
      damaged[i].content.push_back('\x10');
      corpora.Add("log_directory", fmt::format("{}-damaged-{}-{}", name, i, at),
                  LogInput(0, damaged));
    }
    const std::string single =
        std::string(1, static_cast<char>(piece.mode)) + piece.content;
    if (piece.kind == PieceKind::kCheckpoint) {
      corpora.Add("checkpoint", fmt::format("{}-{}", name, i), single);
    } else if (piece.kind == PieceKind::kJournal) {
      corpora.Add("journal_reader", fmt::format("{}-{}", name, i), single);
    }
  }
}

void AddLogs(const Corpora& corpora) {
  Lab lab;
  AddLog(corpora, "new", lab);
  lab.Append("general", {"hello", "world"});
  lab.Append("a", {"x"});
  lab.Produce("general", 1, {"first"});
  lab.Append("old", {"gone"});
  lab.Delete("old");
  lab.Kill();
  AddLog(corpora, "killed", lab);
  lab.Open();
  lab.Close();
  AddLog(corpora, "closed", lab);
  lab.Open();
  lab.Wait();
  lab.Produce("general", 2, {"second", "third"});
  lab.Append("old", {"new"});
  lab.Close();
  AddLog(corpora, "segments", lab);
  lab.Open(Durability::kOs);
  lab.Append("general", {"more"});
  lab.Delete("a");
  lab.Kill();
  AddLog(corpora, "os", lab);
  lab.Open(Durability::kOs);
  lab.Append("a", {"again"});
  lab.Kill();
  AddLog(corpora, "epochs", lab);
}

// What is in logs of version 3.
void AddNewLogs(const Corpora& corpora) {
  Lab lab;
  lab.Append("general", {"hello"});
  lab.ProduceAs("p", 5, {"five", "six"});
  lab.ProduceAs("q", 1, {"one"});
  lab.AppendWithKey("k", "keyed");
  lab.ForgetProducer("q");
  lab.Kill();
  AddLog(corpora, "tables-killed", lab);
  lab.Open();
  lab.ProduceAs("p", 10, {"ten"});
  lab.AppendWithKey("other", "keyed, too");
  lab.Close();
  AddLog(corpora, "tables-closed", lab);
  lab.Open(Durability::kOs);
  lab.ProduceAs("p", 11, {"eleven"});
  lab.Kill();
  AddLog(corpora, "tables-os", lab);
  lab.Open();
  lab.ProduceBy("ann", 1);
  lab.Kill();
  AddLog(corpora, "owners-killed", lab);
  lab.Open();
  lab.ProduceBy("ann", 2);
  lab.Delete("general");
  lab.Close();
  AddLog(corpora, "owners-closed", lab);
}

std::string Entry(std::uint64_t sequence, std::int64_t seconds,
                  const NewMessage& message) {
  const wire::EncodedTimestamp time{Timestamp(std::chrono::seconds(seconds))};
  const std::string encoded = test::Encode(message);
  const wire::EntryParts parts{.sequence = sequence,
                               .encoded_time = time.bytes(),
                               .new_message = wire::CanonicalMessage(encoded)};
  const std::size_t size = wire::MessageSize(parts);
  std::string entry(wire::EntrySize(size), '\0');
  wire::PutEntry(entry.data(), parts, size);
  return entry;
}

std::string Entry(std::uint64_t sequence, std::int64_t seconds,
                  std::string_view text) {
  return Entry(sequence, seconds, NewMessage{.text = text});
}

// `wanted` and the rest are what segment_reader_fuzz.cc takes from its input.
std::string SegmentInput(std::uint8_t first, std::uint8_t count,
                         const std::vector<Piece>& pieces) {
  std::string bytes;
  bytes.push_back(static_cast<char>(first));
  bytes.push_back(static_cast<char>(count - 1));
  bytes += std::string(2, '\0');        // all of the file
  bytes += std::string("\x40\x00", 2);  // so many bytes at once
  bytes.push_back('\x10');              // so many messages
  bytes.push_back(static_cast<char>(count / 2));
  bytes += std::string("\x04\x00", 2);  // seconds
  for (const Piece& piece : pieces) bytes += Encode(piece);
  return bytes;
}

void AddSegments(const Corpora& corpora) {
  constexpr std::uint8_t kFirst = 5;
  constexpr std::uint8_t kCount = 8;
  const SegmentHeader header = {.epoch = 77,
                                .first_sequence = kFirst,
                                .channel_hash = HashChannelName(kChannels[0])};
  const auto encoded = header.Encode();
  Piece segment = {.kind = PieceKind::kSegment,
                   .name = kFirst,
                   .content = {encoded.data(), encoded.size()}};
  Piece index = {.kind = PieceKind::kIndex, .name = kFirst};
  for (std::uint8_t i = 0; i < kCount; ++i) {
    const std::uint64_t sequence = kFirst + i;
    if (i % 3 == 2) {
      const auto place =
          IndexEntry{.sequence = sequence,
                     .time = Timestamp(std::chrono::seconds(i / 2)),
                     .offset = segment.content.size()}
              .Encode(header);
      index.content.append(place.data(), place.size());
    }
    // One text looks like entries.
    const std::string text = i == 4 ? Entry(sequence + 1, 3, "inner")
                                    : std::string(std::size_t{i} * 20U, 'x');
    segment.content += Entry(sequence, i / 2, text);
  }
  Check(segment.File(0) == segment.content && index.File(0) == index.content,
        "seal.cc makes something else of a segment");
  const auto add = [&](std::string_view name,
                       const std::vector<Piece>& pieces) {
    corpora.Add("segment_reader", name, SegmentInput(kFirst, kCount, pieces));
  };
  add("plain", {segment});
  add("indexed", {segment, index});
  for (std::size_t at = 20; at < segment.content.size(); at += 90) {
    Piece damaged = segment;
    damaged.mode |= kPatched;
    damaged.content.push_back(static_cast<char>(at & 0xFFU));
    damaged.content.push_back(static_cast<char>(at >> 8U));
    damaged.content.push_back('\x01');
    add(fmt::format("damaged-{}", at), {damaged});
    add(fmt::format("damaged-{}-indexed", at), {damaged, index});
  }
  Piece raw = segment;
  raw.mode = 0;
  add("raw", {raw});
}

void AddSends(const Corpora& corpora) {
  v1::SendMessageRequest one;
  one.set_channel("general");
  one.mutable_message()->set_author("ann");
  one.mutable_message()->set_text("gr\xC3\xBC\xC3\x9F dich");
  corpora.Add("send_request", "one", '\x01' + one.SerializeAsString());
  one.set_producer_id("0123456789abcdef");
  one.set_producer_sequence(1);
  v1::Attribute* const attribute = one.mutable_message()->add_attributes();
  attribute->set_name("name");
  attribute->set_value("value");
  corpora.Add("send_request", "producer", '\x01' + one.SerializeAsString());
  v1::SendMessagesRequest many;
  for (int i = 0; i < 3; ++i) *many.add_messages() = one.message();
  many.set_channel("a");
  corpora.Add("send_request", "many", '\x00' + many.SerializeAsString());
  many.set_producer_id("0123456789abcdef");
  many.set_first_producer_sequence(1U << 20U);
  corpora.Add("send_request", "slices", '\x0A' + many.SerializeAsString());
  one.mutable_message()->set_data("\xFF\x00\x80", 3);
  one.mutable_message()->set_content_type("image/png");
  corpora.Add("send_request", "data", '\x01' + one.SerializeAsString());
  many.clear_messages();
  *many.add_messages() = one.message();
  many.add_messages()->set_data("\xFF");
  many.add_messages()->set_content_type("text/plain; charset=utf-8");
  many.add_messages()->set_content_type("\x7F");
  corpora.Add("send_request", "types", '\x00' + many.SerializeAsString());
  many.set_producer_generation(7);
  many.set_expected_last_sequence(0);
  many.set_expected_epoch(77);
  corpora.Add("send_request", "named", '\x00' + many.SerializeAsString());
  one.clear_producer_id();
  one.clear_producer_sequence();
  one.set_idempotency_key("a-key");
  one.mutable_message()->set_data(std::string("\x00\xFF", 2));
  one.mutable_message()->set_content_type("application/octet-stream");
  corpora.Add("send_request", "key", '\x01' + one.SerializeAsString());
  v1::SendMessagesRequest keyed;
  *keyed.add_messages() = one.message();
  keyed.set_idempotency_key("gr\xC3\xBC\xC3\x9F");
  corpora.Add("send_request", "key-of-many",
              '\x00' + keyed.SerializeAsString());
  // Not as it should be encoded: in another order, and twice.
  std::string message;
  wire::AppendBytesField(message, 4, "text");
  wire::AppendBytesField(message, 3, "author");
  wire::AppendBytesField(message, 4, "another text");
  std::string request;
  wire::AppendBytesField(request, 4, message);
  corpora.Add("send_request", "order", '\x00' + request);
  std::string data;
  wire::AppendBytesField(data, 9, "image/png");
  wire::AppendBytesField(data, 8, "data");
  wire::AppendBytesField(data, 4, "text");
  std::string of_data;
  wire::AppendBytesField(of_data, 4, data);
  corpora.Add("send_request", "data-order", '\x00' + of_data);
  wire::AppendVarintField(message, 200, 1);
  wire::AppendBytesField(request, 4, message);
  corpora.Add("send_request", "unknown", '\x00' + request);
}

void AddReads(const Corpora& corpora) {
  const auto add = [&](std::string_view name, const Start& start) {
    corpora.Add("read_request", name,
                wire::EncodeReadMessagesRequest(
                    {.channel = "general",
                     .start = start,
                     .limit = 5,
                     .until_caught_up = true,
                     .strict = true,
                     .skip_damaged = true,
                     .heartbeat_interval = std::chrono::milliseconds(1500)}));
  };
  add("new", Start::NewOnly());
  add("earliest", Start::Earliest());
  add("sequence", Start::At(300));
  add("time", Start::Since(Timestamp(std::chrono::nanoseconds(-1))));
  add("last", Start::Last(10));
  add("after", Start::After({.epoch = 1, .sequence = 2}));
}

void AddRest(const Corpora& corpora) {
  corpora.Add("channel_request", "name", std::string("\0", 1) + "a.B_c-9");
  v1::ListChannelsRequest list;
  list.set_page_size(7);
  list.set_page_token("general");
  corpora.Add("channel_request", "list", '\x01' + list.SerializeAsString());
  v1::GetChannelRequest get;
  get.set_channel("general");
  corpora.Add("channel_request", "get", '\x02' + get.SerializeAsString());
  v1::OpenProducerRequest open;
  open.set_channel("general");
  open.set_name("gr\xC3\xBC\xC3\x9F");
  corpora.Add("channel_request", "open-producer",
              '\x82' + open.SerializeAsString());
  v1::ListProducersRequest producers;
  producers.set_page_size(10);
  producers.set_page_token("token");
  producers.set_channel("general");
  corpora.Add("channel_request", "list-producers",
              '\x81' + producers.SerializeAsString());

  std::string receipts;
  const wire::ReceiptRun run = {
      .epoch = 1,
      .first_sequence = 300,
      .count = 2,
      .send_time = Timestamp(std::chrono::nanoseconds(1'500'000'000)),
      .duplicate = true};
  wire::AppendReceipt(receipts, run);
  corpora.Add("receipts", "one", receipts);
  corpora.Add("security_files", "rights",
              "R# who\nann send,read news\r\n\"Ann Lee\" send-as news.*\n"
              "*\tadmin * # all\nanonymous read a");
  corpora.Add("security_files", "tokens",
              "Uabcd1234 \"Ann Lee\" " + std::string(64, 'a') +
                  " 2026-11-29T20:00:00Z 2027-02-28T23:59:59Z\n" +
                  "zzzz0000 ann " + std::string(64, '0') +
                  " 1970-01-01T00:00:00Z never # for good\n");
  corpora.Add("status_details", "limit",
              wire::EncodeStatusDetails(WithReason(
                  absl::ResourceExhaustedError("text"), reason::kLimitReached,
                  {{"limit", "max_channels"}, {"value", "5"}})));
  wire::AppendReceipt(receipts, {.epoch = 2, .first_sequence = 1, .count = 1});
  corpora.Add("receipts", "two", receipts);
  // Tags and lengths that are longer than they need to be.
  using namespace std::string_view_literals;
  corpora.Add("receipts", "padded", "\x8A\x80\x80\x80\x00\x00"sv);
  corpora.Add("receipts", "padded-tag", "\x8A\x80\x80\x80\x80\x00\x00"sv);
  corpora.Add("receipts", "padded-size", "\x0A\x80\x80\x80\x80\x80\x00"sv);

  const std::string header =
      wire::EncodeFrameHeader({.epoch = 1,
                               .next_sequence = 300,
                               .head = 310,
                               .caught_up = true,
                               .gap = Gap{.first_missing = 1,
                                          .next = 300,
                                          .reason = Gap::Reason::kRetention},
                               .next_frame_bytes = 1'000'000});
  corpora.Add("frame", "header", '\x01' + header);
  corpora.Add("frame", "entries",
              '\x01' + header + Entry(300, 5, "hello") + Entry(301, 6, ""));
  corpora.Add("frame", "data",
              '\x01' + header +
                  Entry(300, 5, {.data = "\xFF", .content_type = "a/b"}) +
                  Entry(301, 6, {.text = "x", .data = "\x80"}));
  v1::ReadMessagesResponse frame;
  v1::Message* const message = frame.add_messages();
  message->set_sequence(1);
  message->mutable_send_time()->set_seconds(1);
  message->mutable_send_time()->set_nanos(5);
  message->set_author("ann");
  message->set_text("text");
  v1::Attribute* const attribute = message->add_attributes();
  attribute->set_name("name");
  attribute->set_value("value");
  message->set_producer_id("0123456789abcdef");
  message->set_producer_sequence(3);
  message->set_data("\xFF\x80");
  message->set_content_type("image/png");
  message->set_checksum(1);
  corpora.Add("frame", "message", '\x01' + frame.SerializeAsString());
  corpora.Add("frame", "unsealed",
              std::string(1, '\0') + frame.SerializeAsString());
}

// As http_request_fuzz.cc takes it apart.
std::string HttpRequest(std::string_view url, std::string_view headers,
                        std::string_view body) {
  std::string request(1, static_cast<char>(url.size()));
  request.append(url);
  request.push_back(static_cast<char>(headers.size()));
  request.append(headers);
  return request.append(body);
}

void AddHttpRequests(const Corpora& corpora) {
  constexpr std::string_view kHost = "Host: localhost:8080\n";
  const auto add = [&corpora](std::string_view name, std::string_view url,
                              std::string_view headers, std::string_view body) {
    corpora.Add("http_request", name, HttpRequest(url, headers, body));
  };
  add("page", "/v1/channels/a%20b/messages?from=7&limit=10&wait=1", kHost,
      R"({"author":"ann","text":"\u00fc","attributes":[]})");
  add("since", "/?since=2024-05-14T10:00:00Z",
      "Host: chat.example\nOrigin: https://page.example\n"
      "Access-Control-Request-Method: GET",
      R"([{"text":"a","attributes":[{"name":"n","value":"v"}]},{}])");
  add("after", "/?after=123:45", "Host: [::1]:80\nOrigin: http://[::1]",
      R"({"author":1})");
  add("resume", "/?from=earliest", "Host: 127.0.0.1\nLast-Event-ID: 9:8",
      R"({"autor":"ann"})");
  add("last", "http://host/x?last=3&last=4",
      "Host: evil.example\nSec-Fetch-Site: cross-site", "[[[[[[1]]]]]]");
  add("data", "/?author=ann", kHost,
      R"([{"data":"/wA=","content_type":"image/png"},{"data":"AA=="}])");
  add("base64", "/", kHost, R"({"data":"AA==AA=="})");
  add("raw", "/?author=ann&text=a+cat",
      "Host: localhost\nContent-Type: image/png", "\xFF\x80");
  add("encoding", "/",
      "Host: localhost\nContent-Type: a/b\nContent-Encoding: gzip", "x");
  add("type", "/", "Host: localhost\nContent-Type: a\x7F", "x");
  add("bearer", "/", "Host: localhost\nAuthorization: Bearer messenger_0_x",
      "");
  add("cookie", "/",
      "Host: localhost\nOrigin: http://localhost\n"
      "Cookie: a=b; messenger_token=messenger_0_x",
      "");
  add("framing", "/?x=+%", "Content-Length: 1\nTransfer-Encoding: chunked",
      "{\"text\":\"\xff\"}");
}

}  // namespace
}  // namespace messenger::fuzz

int main(int argc, char** argv) {
  messenger::fuzz::Check(argc == 2, "usage: messenger_fuzz_seeds DIRECTORY");
  const messenger::fuzz::Corpora corpora(argv[1]);
  messenger::fuzz::AddLogs(corpora);
  AddNewLogs(corpora);
  messenger::fuzz::AddSegments(corpora);
  messenger::fuzz::AddSends(corpora);
  messenger::fuzz::AddReads(corpora);
  messenger::fuzz::AddRest(corpora);
  messenger::fuzz::AddHttpRequests(corpora);
  return 0;
}
