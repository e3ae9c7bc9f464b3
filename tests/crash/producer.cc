#include "producer.h"

#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "messenger/v1/messenger.pb.h"
#include "rpc/status.h"

namespace messenger::test {
namespace {

// Requests of a stream that wait for receipts, and messages of a request.
constexpr std::size_t kMostUnderWay = 4;
constexpr std::size_t kMostMessages = 8;
// One of so many conditional appends that were refused is sent again at once.
constexpr std::uint64_t kRefusedAgainOneIn = 3;

Timestamp ToTimestamp(const google::protobuf::Timestamp& time) {
  return Timestamp(std::chrono::seconds(time.seconds()) +
                   std::chrono::nanoseconds(time.nanos()));
}

// Of each message of the run.
void AddReceipts(const v1::Receipt& run, std::uint64_t first,
                 std::uint64_t count, Send* send) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    send->receipts.push_back(
        {.position = {run.epoch(), run.first_sequence() + i},
         .send_time = ToTimestamp(run.send_time()),
         .duplicate = run.duplicate()});
  }
}

std::string BytesOf(const ProducerId& id) {
  return {id.begin(), id.end()};
}

void Fill(const Send& send, std::size_t index, v1::NewMessage* message) {
  const std::uint64_t number = send.first_number + index;
  message->set_text(TextOf(send.sender, number));
  Data data = DataOf(send.sender, number);
  message->set_data(std::move(data.bytes));
  message->set_content_type(std::move(data.content_type));
}

// Numbers its messages as a producer, from 1 on in each channel.
class Numbered : public Producer {
 public:
  Numbered(std::string name, std::vector<std::string> channels,
           std::uint64_t seed)
      : Producer(std::move(name), std::move(channels), seed) {
    Renew();
  }

  void Forget() override {
    Producer::Forget();
    Renew();
  }

 protected:
  void Number(Send* send) override {
    std::uint64_t& last = last_sequence_[send->channel];
    send->producer_id = id_;
    send->first_producer_sequence = last + 1;
    last += send->count;
  }

  // What was refused has not used its numbers up.
  void GiveBack(const Send& send) {
    std::uint64_t& last = last_sequence_[send.channel];
    last = std::min(last, send.first_producer_sequence - 1);
  }

 private:
  void Renew() {
    last_sequence_.clear();
    for (std::uint8_t& byte : id_) {
      byte = static_cast<std::uint8_t>(random().Between(1, 255));
    }
  }

  ProducerId id_{};
  std::map<std::string, std::uint64_t> last_sequence_;
};

class StreamProducer : public Numbered {
 public:
  using Numbered::Numbered;

 protected:
  absl::Status Work(RawClient& client, const SendingRound& round,
                    bool* settled) override {
    under_way_ = 0;
    Repeat();
    for (;;) {
      RawStream stream = client.Open("SendMessages");
      Exchange(&stream, round, settled);
      absl::Status status = rpc::FromGrpc(stream.Finish());
      if (!GoesOn(status)) return status;
    }
  }

  // A stream has ended so: whether there is to be another one.
  virtual bool GoesOn(const absl::Status& /*status*/) { return false; }

  // The log's, of the stream.
  std::uint64_t epoch() const { return epoch_; }

  // The first of sends_ that waits for receipts.
  std::size_t under_way_ = 0;

 private:
  // Until the stream has ended.
  void Exchange(RawStream* stream, const SendingRound& round, bool* settled) {
    const auto first = stream->Read<v1::SendMessagesResponse>();
    if (!first) return;
    epoch_ = first->epoch();
    for (std::size_t i = under_way_; i < sends_.size(); ++i) {
      Write(stream, sends_[i]);
    }
    while (under_way_ < sends_.size()) {
      if (!TakeReceipts(stream)) return;
    }
    if (!std::exchange(*settled, true)) round.settled->arrive_and_wait();
    while (!*round.stop) {
      while (sends_.size() - under_way_ < kMostUnderWay) {
        Write(stream, Next(random().Between(1, kMostMessages)));
      }
      if (!TakeReceipts(stream)) return;
    }
    stream->CloseWrites();
    while (TakeReceipts(stream)) {
    }
  }

  static void Write(RawStream* stream, const Send& send) {
    v1::SendMessagesRequest request;
    request.set_channel(send.channel);
    request.set_producer_id(BytesOf(send.producer_id));
    request.set_first_producer_sequence(send.first_producer_sequence);
    if (send.expected_last) {
      request.set_expected_last_sequence(send.expected_last->sequence);
      request.set_expected_epoch(send.expected_last->epoch);
    }
    for (std::size_t i = 0; i < send.count; ++i) {
      Fill(send, i, request.add_messages());
    }
    stream->Write(request);
  }

  // False at the end of the stream.
  bool TakeReceipts(RawStream* stream) {
    const auto response = stream->Read<v1::SendMessagesResponse>();
    if (!response) return false;
    for (const v1::Receipt& run : response->receipts()) {
      for (std::uint64_t taken = 0; taken < run.count();) {
        if (under_way_ == sends_.size()) {
          throw std::runtime_error("there are more receipts than messages");
        }
        Send& send = sends_[under_way_];
        const std::uint64_t count = std::min<std::uint64_t>(
            run.count() - taken, send.count - send.receipts.size());
        AddReceipts(run, taken, count, &send);
        taken += count;
        if (IsSettled(send)) ++under_way_;
      }
    }
    return true;
  }

  std::uint64_t epoch_ = 0;
};

class ConditionalProducer final : public StreamProducer {
 public:
  using StreamProducer::StreamProducer;

 protected:
  void Number(Send* send) override {
    StreamProducer::Number(send);
    const Position none = {.epoch = epoch(), .sequence = 0};
    Position& last = last_.try_emplace(send->channel, none).first->second;
    send->expected_last = last;
    last.sequence += send->count;
  }

  // After a refusal, which is of the first request that waits.
  bool GoesOn(const absl::Status& status) override {
    const std::optional<Position> last = LastPosition(status);
    if (!absl::IsAborted(status) || !last) return false;
    if (under_way_ == sends_.size()) {
      throw std::runtime_error("nothing is there to be refused");
    }
    Send again = sends_[under_way_];
    again.again = true;
    for (std::size_t i = sends_.size() - 1; i > under_way_; --i) {
      sends_[i].follows_refused = true;
      TakeBack(sends_[i]);
    }
    sends_[under_way_].refused_at = last;
    TakeBack(sends_[under_way_]);
    last_[again.channel] = *last;
    under_way_ = sends_.size();
    if (random().OneIn(kRefusedAgainOneIn)) sends_.push_back(std::move(again));
    return true;
  }

 private:
  void TakeBack(const Send& send) {
    GiveBack(send);
    last_[send.channel] = *send.expected_last;
  }

  // What will be the last ones, once those under way are stored.
  std::map<std::string, Position> last_;
};

absl::Status SendOne(RawClient& client, Send* send) {
  v1::SendMessageRequest request;
  request.set_channel(send->channel);
  Fill(*send, 0, request.mutable_message());
  if (send->first_producer_sequence != 0) {
    request.set_producer_id(BytesOf(send->producer_id));
    request.set_producer_sequence(send->first_producer_sequence);
  }
  const RawClient::Answer answer =
      client.Call("SendMessage", request.SerializeAsString());
  if (!answer.status.ok()) return rpc::FromGrpc(answer.status);
  v1::SendMessageResponse response;
  if (!response.ParseFromString(answer.bytes)) {
    throw std::runtime_error("what the server sent cannot be decoded");
  }
  AddReceipts(response.receipt(), 0, response.receipt().count(), send);
  return absl::OkStatus();
}

// One request at a time.
template <typename Base>
class Unary final : public Base {
 public:
  using Base::Base;

 protected:
  absl::Status Work(RawClient& client, const SendingRound& round,
                    bool* settled) override {
    this->Repeat();
    for (Send& send : this->sends_) {
      if (absl::Status s = SendOne(client, &send); !s.ok()) return s;
    }
    *settled = true;
    round.settled->arrive_and_wait();
    while (!*round.stop) {
      absl::Status s = SendOne(client, &this->Next(1));
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }
};

class Unnumbered : public Producer {
 public:
  using Producer::Producer;

 protected:
  void Number(Send* /*send*/) override {}
};

}  // namespace

Producer::Producer(std::string name, std::vector<std::string> channels,
                   std::uint64_t seed)
    : name_(std::move(name)), channels_(std::move(channels)), random_(seed) {}

void Producer::Run(const SendingRound& round) {
  bool settled = false;
  sends_.clear();
  end_ = {.sender = name_, .status = {}};
  try {
    RawClient client(round.port);
    end_.status = Work(client, round, &settled);
  } catch (const std::exception& e) {
    end_.status = absl::InternalError(e.what());
  }
  if (!settled) round.settled->count_down();
  std::vector<Send> left;
  for (const Send& send : sends_) {
    if (!IsSettled(send) && send.first_producer_sequence != 0) {
      left.push_back(send);
    }
  }
  // What was not even repeated.
  for (const Send& send : unsettled_) {
    const bool repeated =
        std::any_of(sends_.begin(), sends_.end(), [&](const Send& other) {
          return other.first_number == send.first_number;
        });
    if (!repeated) left.push_back(send);
  }
  unsettled_ = std::move(left);
  // Retention has dropped what was sent again, so that it cannot be compared.
  if (absl::IsFailedPrecondition(end_.status)) Forget();
}

Send& Producer::Next(std::size_t count) {
  sends_.push_back(
      {.sender = name_,
       .channel = channels_[random_.Between(0, channels_.size() - 1)],
       .first_number = last_number_ + 1,
       .count = count});
  last_number_ += count;
  Number(&sends_.back());
  return sends_.back();
}

void Producer::Repeat() {
  for (Send send : unsettled_) {
    send.again = true;
    send.receipts.clear();
    sends_.push_back(std::move(send));
  }
}

std::unique_ptr<Producer> MakeStreamProducer(std::string name,
                                             std::vector<std::string> channels,
                                             std::uint64_t seed) {
  return std::make_unique<StreamProducer>(std::move(name), std::move(channels),
                                          seed);
}

std::unique_ptr<Producer> MakeConditionalProducer(
    std::string name, std::vector<std::string> channels, std::uint64_t seed) {
  return std::make_unique<ConditionalProducer>(std::move(name),
                                               std::move(channels), seed);
}

std::unique_ptr<Producer> MakeUnaryProducer(std::string name,
                                            std::vector<std::string> channels,
                                            std::uint64_t seed) {
  return std::make_unique<Unary<Numbered>>(std::move(name), std::move(channels),
                                           seed);
}

std::unique_ptr<Producer> MakeAnonymous(std::string name,
                                        std::vector<std::string> channels,
                                        std::uint64_t seed) {
  return std::make_unique<Unary<Unnumbered>>(std::move(name),
                                             std::move(channels), seed);
}

}  // namespace messenger::test
