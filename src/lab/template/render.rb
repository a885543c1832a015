# Renders ERB templates with the names that BOSH's director gives them, and with its error messages.
# In: JSON with templates, spec, properties and links. Out: JSON with files and problems.
require 'erb'
require 'json'
require 'ostruct'

# What `if_p ... end.else do ... end` calls else on.
Otherwise = Struct.new(:active) do
  def else = active ? yield : nil
end

# p and if_p, for a job's own properties and for a link's.
module Lookup
  NONE = Object.new

  def p(name, default = NONE)
    value = lookup(name)
    return value unless value.nil?
    default.equal?(NONE) ? raise("Can't find property '#{name}'") : default
  end

  def if_p(*names)
    values = names.map { |name| lookup(name) }
    found = values.none?(&:nil?)
    yield(*values) if found
    Otherwise.new(!found)
  end

  private

  def lookup(name)
    name.split('.').inject(@properties) { |value, key| value.is_a?(Hash) ? value[key] : nil }
  end
end

class Link
  include Lookup
  attr_reader :instances

  def initialize(link)
    @properties = link['properties']
    @instances = link['instances'].map { |instance| OpenStruct.new(instance) }
  end
end

class Context
  include Lookup
  attr_reader :spec

  def initialize(input)
    @properties = input['properties'].to_h
    @links = input['links'].to_h.transform_values { |link| Link.new(link) }
    @spec = structure(input['spec'])
  end

  def link(name)
    @links.fetch(name) { raise "Can't find link '#{name}'" }
  end

  def if_link(name)
    yield @links[name] if @links.key?(name)
    Otherwise.new(!@links.key?(name))
  end

  def render(path)
    template = ERB.new(File.read(path), trim_mode: '-')
    template.filename = path
    template.result(binding)
  end

  private

  def structure(value)
    value.is_a?(Hash) ? OpenStruct.new(value.transform_values { |inner| structure(inner) }) : value
  end
end

input = JSON.parse($stdin.read)
files, problems = {}, []
input['templates'].sort.each do |place, path|
  files[place] = Context.new(input).render(path)
rescue SyntaxError, StandardError => e
  line = [*e.backtrace, e.message].join("\n")[/#{Regexp.escape(path)}:(\d+)/, 1] || 'unknown'
  problems << "Error filling in template '#{File.basename(path)}' (line #{line}: #{e.message})"
end
puts JSON.generate('files' => files, 'problems' => problems)
