// Sends a message to a server, and prints all that its channel holds.
//   example_client localhost:51075
#include <messenger/client.h>

#include <iostream>

int main(int argc, char** argv) {
  auto client = messenger::Client::Connect(
      {.target = argc > 1 ? argv[1] : "localhost:51075"});

  const absl::StatusOr<messenger::Receipt> receipt =
      client.Send({.author = "ann", .text = "hello"});
  if (!receipt.ok()) {
    std::cerr << receipt.status() << '\n';
    return 1;
  }
  std::cout << "stored as " << receipt->position.sequence << '\n';

  const messenger::Subscription subscription = client.Read(
      {.start = messenger::Start::Earliest(), .until_caught_up = true},
      {.on_message = [](const messenger::Message& message) {
        std::cout << message.sequence << ' ' << message.author << ": "
                  << message.text << '\n';
      }});
  return subscription.Wait().ok() ? 0 : 1;
}
