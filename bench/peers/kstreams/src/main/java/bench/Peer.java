package bench;

import com.fasterxml.jackson.annotation.JsonAutoDetect;
import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The reference workload on Kafka Streams: what a team on the JVM would write.
 *
 * <p>PHASE=A runs the same topology with an empty topic in place of the conversions until the click table is complete, then stops in
 * order. The measured run starts over that state, so the table's 300,000 keys are not in its figures, as they are not in anybody's.
 */
public final class Peer {
  private static final Map<String, String> ENV = System.getenv();
  private static final ObjectMapper JSON = new ObjectMapper()
      .setSerializationInclusion(JsonInclude.Include.NON_NULL)
      .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);
  private static final Map<String, String> STATUSES = Map.of("approved", "conversion");
  private static final Map<String, String> EVENTS = Map.of("Purchase", "sale", "Lead", "lead");

  @JsonAutoDetect(fieldVisibility = JsonAutoDetect.Visibility.ANY)
  static final class Click {
    String click_id, campaign, email;
  }

  @JsonAutoDetect(fieldVisibility = JsonAutoDetect.Visibility.ANY)
  static final class Conversion {
    String transaction_id, amount, status, event, cid, email;
  }

  @JsonAutoDetect(fieldVisibility = JsonAutoDetect.Visibility.ANY)
  static final class Lineage {
    String topic;
    int partition;
    long offset;
  }

  @JsonAutoDetect(fieldVisibility = JsonAutoDetect.Visibility.ANY)
  static final class Row {
    String status, reason, transaction_id, click_id, campaign, amount;
    Lineage lineage = new Lineage();
    Long duplicate_of;
    @JsonIgnore String lookup;

    Row judged(String status, String reason) {
      this.status = status;
      this.reason = reason;
      return this;
    }
  }

  /** First of its transaction id? Wanted at all? Then by which key to look for its click. */
  static final class Dedup implements Processor<String, Conversion, String, Row> {
    private KeyValueStore<String, Long> seen;
    private ProcessorContext<String, Row> context;

    @Override
    public void init(ProcessorContext<String, Row> context) {
      this.context = context;
      this.seen = context.getStateStore("seen");
    }

    @Override
    public void process(Record<String, Conversion> record) {
      CONVERSIONS.first();
      var conversion = record.value();
      var source = context.recordMetadata().orElseThrow();
      var row = new Row();
      row.transaction_id = conversion.transaction_id;
      row.amount = conversion.amount;
      row.lineage.topic = source.topic();
      row.lineage.partition = source.partition();
      row.lineage.offset = source.offset();
      Long first = seen.putIfAbsent(record.key(), source.offset());
      if (first != null) {
        row.duplicate_of = first;
        row.judged("DEDUPLICATED", "duplicate");
      } else {
        classify(conversion, row);
      }
      context.forward(record.withValue(row));
    }

    private static void classify(Conversion conversion, Row row) {
      if (!STATUSES.containsKey(conversion.status)) row.judged("DISCARDED", "status:" + conversion.status);
      else if (!EVENTS.containsKey(conversion.event)) row.judged("DISCARDED", "event:" + conversion.event);
      else if (conversion.cid != null) row.lookup = "c:" + conversion.cid;
      else if (conversion.email != null) row.lookup = "e:" + conversion.email;
      else row.judged("ERROR", "no_identity");
    }
  }

  /** Says FIRST at the first call and DONE at the last one that is expected. */
  static final class Counter {
    private final AtomicLong count = new AtomicLong();
    private volatile boolean hasBegun;

    void first() {
      if (hasBegun) return;
      synchronized (this) {
        if (!hasBegun) say("FIRST");
        hasBegun = true;
      }
    }

    void row() {
      if (count.incrementAndGet() == Long.parseLong(ENV.get("N"))) say("DONE");
    }

    private static void say(String word) {
      System.out.println(word);
      System.out.flush();
    }
  }

  private static final Counter CONVERSIONS = new Counter();
  private static final AtomicLong INDEXED = new AtomicLong();

  private static <T> Serde<T> json(Class<T> type) {
    ObjectReader reader = JSON.readerFor(type);
    ObjectWriter writer = JSON.writerFor(type);
    return Serdes.serdeFrom(
        (topic, value) -> {
          try {
            return value == null ? null : writer.writeValueAsBytes(value);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        },
        (topic, bytes) -> {
          try {
            return bytes == null ? null : reader.readValue(bytes);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }

  private static Row joined(Row row, Click click) {
    if (click == null) return row.judged("ERROR", "unknown_click");
    row.click_id = click.click_id;
    row.campaign = click.campaign;
    return row.judged("OK", row.reason);
  }

  private static KeyValueBytesStoreSupplier store(String name) {
    return "memory".equals(ENV.get("STORE")) ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
  }

  private static StreamsBuilder topology(String raw) {
    var builder = new StreamsBuilder();
    Serde<String> text = Serdes.String();
    Serde<Row> rows = json(Row.class);
    builder.addStateStore(Stores.keyValueStoreBuilder(store("seen"), text, Serdes.Long()));
    var branches = builder.stream(raw, Consumed.with(text, json(Conversion.class)))
        .process(Dedup::new, "seen")
        .split(Named.as("row-"))
        .branch((key, row) -> row.lookup != null, Branched.as("probe"))
        .defaultBranch(Branched.as("judged"));
    KTable<String, Click> clicks = builder.table(ENV.get("INDEX"), Consumed.with(text, json(Click.class)),
        Materialized.<String, Click>as(store("clicks")).withKeySerde(text).withValueSerde(json(Click.class)).withCachingDisabled());
    clicks.toStream().foreach((key, click) -> INDEXED.incrementAndGet());
    KStream<String, Row> attributed = branches.get("row-probe")
        .peek((key, row) -> row.reason = row.lookup.startsWith("c:") ? "cid" : "email")
        .selectKey((key, row) -> row.lookup)
        .repartition(Repartitioned.with(text, rows).withNumberOfPartitions(4).withName("bylookup"))
        .leftJoin(clicks, Peer::joined)
        .selectKey((key, row) -> row.transaction_id);
    for (var stream : List.of(attributed, branches.get("row-judged"))) {
      stream.peek((key, row) -> CONVERSIONS.row()).to(ENV.get("LOG"), Produced.with(text, rows));
    }
    return builder;
  }

  private static Properties settings() {
    var settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, ENV.get("APPID"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, ENV.get("BOOTSTRAP"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, ENV.get("STATE"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, ENV.getOrDefault("THREADS", "2"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, ENV.getOrDefault("GUARANTEE", StreamsConfig.EXACTLY_ONCE_V2));
    settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    settings.put("producer.batch.size", 131072);
    settings.put("consumer.auto.offset.reset", "earliest");
    settings.put("consumer.max.poll.records", 5000);
    return settings;
  }

  private static String emptyTopic() throws Exception {
    String name = ENV.get("APPID") + "-nothing";
    try (var admin = Admin.create(Map.of("bootstrap.servers", ENV.get("BOOTSTRAP")))) {
      admin.createTopics(List.of(new NewTopic(name, 4, (short) 1))).all().get();
    }
    return name;
  }

  public static void main(String[] arguments) throws Exception {
    boolean isPreparing = "A".equals(ENV.get("PHASE"));
    var settings = settings();
    var streams = new KafkaStreams(topology(isPreparing ? emptyTopic() : ENV.get("RAW")).build(settings), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    if (isPreparing) {
      while (INDEXED.get() < Long.parseLong(ENV.get("N_INDEX"))) Thread.sleep(50);
      Thread.sleep(500);
      System.exit(0);
    }
  }
}
