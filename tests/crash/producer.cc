#include "producer.h"

#include <fmt/format.h>
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
    const std::uint64_t first_sequence = run.first_sequence();
    send->receipts.push_back(
        {.position = {run.epoch(),
                      first_sequence == 0 ? 0 : first_sequence + i},
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

  // What was refused does not use its numbers up.
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

// Conditional appends: each expects what is known to be the last message of its
// channel, or will be when those under way are stored.
class ConditionalProducer : public Numbered {
 public:
  using Numbered::Numbered;

  void Forget() override {
    Numbered::Forget();
    // Of another epoch, which must be refused, though not of an unknown one:
    // what that had may be lost.
    std::erase_if(last_,
                  [](const auto& last) { return last.second.epoch == 0; });
  }

 protected:
  void Number(Send* send) override {
    Numbered::Number(send);
    Position& last = last_[send->channel];
    if (last.epoch == 0) last.epoch = LastEpoch();
    send->expected_last = last;
    last.sequence += send->count;
  }

  bool GoesOn(const absl::Status& status) override {
    const std::optional<Position> last = LastPosition(status);
    if (!absl::IsAborted(status) || !last) return false;
    if (waiting_ == sends_.size()) {
      throw std::runtime_error("nothing is there to be refused");
    }
    Send again = sends_[waiting_];
    again.again = true;
    for (std::size_t i = sends_.size() - 1; i > waiting_; --i) {
      sends_[i].follows_refused = true;
      TakeBack(sends_[i]);
    }
    sends_[waiting_].refused_at = last;
    TakeBack(sends_[waiting_]);
    last_[again.channel] = *last;
    waiting_ = sends_.size();
    if (random().OneIn(kRefusedAgainOneIn)) sends_.push_back(std::move(again));
    return true;
  }

 private:
  void TakeBack(const Send& send) {
    GiveBack(send);
    last_[send.channel] = *send.expected_last;
  }

  // Of the last receipt; 0 if there is none.
  std::uint64_t LastEpoch() const {
    if (waiting_ == 0) return 0;
    const std::vector<Receipt>& receipts = sends_[waiting_ - 1].receipts;
    return receipts.empty() ? 0 : receipts.back().position.epoch;
  }

  std::map<std::string, Position> last_;
};

class Unnumbered : public Producer {
 public:
  using Producer::Producer;

 protected:
  void Number(Send* /*send*/) override {}
};

// Batches, several under way.
template <typename Base>
class Stream final : public Base {
 public:
  using Base::Base;

 private:
  absl::Status Work(RawClient& client, const SendingRound& round,
                    bool* settled) override {
    for (;;) {
      RawStream stream = client.Open("SendMessages");
      Exchange(&stream, round, settled);
      absl::Status status = rpc::FromGrpc(stream.Finish());
      if (!this->GoesOn(status)) return status;
    }
  }

  // Until the stream has ended.
  void Exchange(RawStream* stream, const SendingRound& round, bool* settled) {
    const std::vector<Send>& sends = this->sends_;
    for (std::size_t i = this->waiting_; i < sends.size(); ++i) {
      Write(stream, sends[i]);
    }
    while (this->waiting_ < sends.size()) {
      if (!TakeReceipts(stream)) return;
    }
    if (!std::exchange(*settled, true)) round.settled->arrive_and_wait();
    while (!*round.stop) {
      while (sends.size() - this->waiting_ < kMostUnderWay) {
        Write(stream, this->Next(this->random().Between(1, kMostMessages)));
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
        if (this->waiting_ == this->sends_.size()) {
          throw std::runtime_error("there are more receipts than messages");
        }
        Send& send = this->sends_[this->waiting_];
        const std::uint64_t count = std::min<std::uint64_t>(
            run.count() - taken, send.count - send.receipts.size());
        AddReceipts(run, taken, count, &send);
        taken += count;
        if (this->IsSettled(send)) ++this->waiting_;
      }
    }
    return true;
  }
};

absl::Status SendOne(RawClient& client, Send* send) {
  v1::SendMessageRequest request;
  request.set_channel(send->channel);
  Fill(*send, 0, request.mutable_message());
  if (send->first_producer_sequence != 0) {
    request.set_producer_id(BytesOf(send->producer_id));
    request.set_producer_sequence(send->first_producer_sequence);
    request.set_producer_generation(send->producer_generation);
  }
  request.set_idempotency_key(send->idempotency_key);
  if (send->expected_last) {
    request.set_expected_last_sequence(send->expected_last->sequence);
    request.set_expected_epoch(send->expected_last->epoch);
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

class Keyed : public Producer {
 public:
  using Producer::Producer;

 protected:
  void Number(Send* send) override {
    send->idempotency_key =
        fmt::format("{}/{}", send->sender, send->first_number);
  }
};

class NamedProducer : public Producer {
 public:
  NamedProducer(std::string name, std::vector<std::string> channels,
                std::uint64_t seed)
      : Producer(std::move(name), channels, seed),
        channel_(std::move(channels.front())) {}

  void Forget() override {
    Producer::Forget();
    acknowledged_ = 0;
    generation_ = 0;
  }

 protected:
  absl::Status Begin(RawClient& client) override {
    v1::OpenProducerRequest request;
    request.set_channel(channel_);
    request.set_name("the one");
    const RawClient::Answer answer =
        client.Call("OpenProducer", request.SerializeAsString());
    if (!answer.status.ok()) return rpc::FromGrpc(answer.status);
    v1::OpenProducerResponse response;
    if (!response.ParseFromString(answer.bytes)) {
      throw std::runtime_error("what the server sent cannot be decoded");
    }
    const v1::Producer& producer = response.producer();
    const std::uint64_t last = producer.last_producer_sequence();
    if (last < acknowledged_ || last > last_sequence_) {
      throw std::runtime_error(fmt::format(
          "the last sequence of the named producer is {}, of {} that were "
          "acknowledged and {} that were sent",
          last, acknowledged_, last_sequence_));
    }
    if (producer.generation() <= generation_) {
      throw std::runtime_error("the generation has not risen");
    }
    const bool was_open = generation_ != 0;
    Send old = {.sender = "an older process",
                .channel = channel_,
                .first_number = 1,
                .count = 1,
                .producer_id = id_,
                .first_producer_sequence = last_sequence_ + 1,
                .producer_generation = generation_};
    std::copy(producer.producer_id().begin(), producer.producer_id().end(),
              id_.begin());
    generation_ = producer.generation();
    // What waits is of the rounds before.
    for (Send& send : sends_) send.producer_generation = generation_;
    if (!was_open) return absl::OkStatus();
    absl::Status fenced = SendOne(client, &old);
    if (fenced.ok() || absl::IsFailedPrecondition(fenced)) {
      if (fenced.ok()) {
        throw std::runtime_error("an older process is not fenced off");
      }
      return absl::OkStatus();
    }
    return fenced;
  }

  void Number(Send* send) override {
    // With holes.
    last_sequence_ += random().Between(1, 3);
    send->producer_id = id_;
    send->producer_generation = generation_;
    send->first_producer_sequence = last_sequence_;
  }

  void Settle(const Send& send) override {
    acknowledged_ = std::max(acknowledged_, send.first_producer_sequence);
  }

 private:
  const std::string channel_;
  ProducerId id_{};
  std::uint64_t generation_ = 0;
  std::uint64_t last_sequence_ = 0;
  std::uint64_t acknowledged_ = 0;
};

// One request at a time, of one message.
template <typename Base>
class Unary final : public Base {
 public:
  using Base::Base;

 private:
  absl::Status Work(RawClient& client, const SendingRound& round,
                    bool* settled) override {
    if (absl::Status s = this->Begin(client); !s.ok()) return s;
    if (absl::Status s = SendWaiting(client); !s.ok()) return s;
    *settled = true;
    round.settled->arrive_and_wait();
    while (!*round.stop) {
      this->Next(1);
      if (absl::Status s = SendWaiting(client); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status SendWaiting(RawClient& client) {
    while (this->waiting_ < this->sends_.size()) {
      absl::Status s = SendOne(client, &this->sends_[this->waiting_]);
      if (s.ok()) {
        this->Settle(this->sends_[this->waiting_]);
        ++this->waiting_;
      } else if (!this->GoesOn(s)) {
        return s;
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

Producer::Producer(std::string name, std::vector<std::string> channels,
                   std::uint64_t seed)
    : name_(std::move(name)), channels_(std::move(channels)), random_(seed) {}

void Producer::Run(const SendingRound& round) {
  bool settled = false;
  sends_.clear();
  waiting_ = 0;
  Repeat();
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
    if (!IsSettled(send) && IsRepeatable(send)) left.push_back(send);
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
  return std::make_unique<Stream<Numbered>>(std::move(name),
                                            std::move(channels), seed);
}

std::unique_ptr<Producer> MakeUnaryProducer(std::string name,
                                            std::vector<std::string> channels,
                                            std::uint64_t seed) {
  return std::make_unique<Unary<Numbered>>(std::move(name), std::move(channels),
                                           seed);
}

std::unique_ptr<Producer> MakeConditionalStream(
    std::string name, std::vector<std::string> channels, std::uint64_t seed) {
  return std::make_unique<Stream<ConditionalProducer>>(
      std::move(name), std::move(channels), seed);
}

std::unique_ptr<Producer> MakeConditionalUnary(
    std::string name, std::vector<std::string> channels, std::uint64_t seed) {
  return std::make_unique<Unary<ConditionalProducer>>(
      std::move(name), std::move(channels), seed);
}

std::unique_ptr<Producer> MakeKeyed(std::string name,
                                    std::vector<std::string> channels,
                                    std::uint64_t seed) {
  return std::make_unique<Unary<Keyed>>(std::move(name), std::move(channels),
                                        seed);
}

std::unique_ptr<Producer> MakeNamed(std::string name, std::string channel,
                                    std::uint64_t seed) {
  return std::make_unique<Unary<NamedProducer>>(
      std::move(name), std::vector<std::string>{std::move(channel)}, seed);
}

std::unique_ptr<Producer> MakeAnonymous(std::string name,
                                        std::vector<std::string> channels,
                                        std::uint64_t seed) {
  return std::make_unique<Unary<Unnumbered>>(std::move(name),
                                             std::move(channels), seed);
}

}  // namespace messenger::test
