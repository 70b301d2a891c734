def test_x(topic_factory, kafka):
    assert topic_factory("a", partitions=2)
    assert topic_factory("b", partitions=2)
def test_y(own_kafka):
    from tests.kafka.broker import answers
    own_kafka.kill(); assert not answers(own_kafka.bootstrap)
    own_kafka.start(); own_kafka.stop(); own_kafka.cont(); own_kafka.terminate(); own_kafka.start()
